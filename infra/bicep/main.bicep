// The whole system in one resource group. Only the public entry can be reached from the internet.
//
//   internet ── entry (gateway, firewall) ── private endpoint ── function app ─┬─ Cosmos DB
//                                                                              ├─ Service Bus
//   pipeline ── Resource Manager ── operations job (inside the network)        ├─ archive, host storage
//                                                                              ├─ App Configuration, Key Vault
//                                                                              └─ Azure Monitor
//
// Deploying it twice changes nothing: no name is drawn anew, keys and flags are not made here, code is not touched.

targetScope = 'resourceGroup'

import { tagSet, webhook } from 'types.bicep'

@description('Region of everything; one with availability zones for production.')
param location string = resourceGroup().location

@description('Start of every name: lower-case letters and digits.')
@minLength(3)
@maxLength(8)
param namePrefix string

@description('Environment, part of every name.')
@allowed(['dev', 'test', 'prod'])
param environmentName string

@description('Tags of every resource, beside environment and workload.')
param extraTags tagSet = {}

@description('Address space of the network in CIDR notation. It must not overlap with networks it is peered with.')
@minLength(9)
@maxLength(18)
param addressSpace string = '10.40.0.0/22'

@description('Addresses of the gateway: a /24 inside the address space.')
@minLength(9)
@maxLength(18)
param entryPrefix string = '10.40.0.0/24'

@description('Addresses of the instances of the app: a /26 inside the address space.')
@minLength(9)
@maxLength(18)
param functionsPrefix string = '10.40.1.0/26'

@description('Addresses of the private endpoints: a /26 inside the address space.')
@minLength(9)
@maxLength(18)
param endpointsPrefix string = '10.40.1.64/26'

@description('Addresses of the operations job: a /26 inside the address space.')
@minLength(9)
@maxLength(18)
param operationsPrefix string = '10.40.1.128/26'

@description('Spread everything over availability zones. It asks for at least two always-ready instances in each group that has any.')
param zoneRedundant bool

@description('Second region of Cosmos DB, which takes over when the first is lost; empty for none.')
@maxLength(60)
param secondaryLocation string = ''

@description('Deploy the public entry. Off until its certificate is in the vault, which the operations job puts there.')
param deployEntry bool

@description('Name of the certificate of the entry in its vault.')
@minLength(1)
@maxLength(127)
param certificateName string = 'entry'

@description('First label of the public DNS name of the entry; empty for one made from the other names.')
@maxLength(50)
param entryDnsLabel string = ''

@description('Fewest instances of the gateway; each carries about 100 requests a second with the firewall on.')
@minValue(1)
@maxValue(125)
param entryMinimumCapacity int

@description('Most instances of the gateway.')
@minValue(2)
@maxValue(125)
param entryMaximumCapacity int

@description('Resource id of a DDoS Network Protection plan, which all stamps share; empty for none. With one the gateway costs what a gateway without a firewall costs, which pays from 601 capacity units (python -m infra.entry).')
@maxLength(300)
param ddosProtectionPlanId string = ''

@description('Requests a minute that one address may send; phones behind one carrier share an address.')
@minValue(100)
@maxValue(1000000)
param requestsPerMinutePerAddress int = 30000

@description('Requests a minute that one address may send to the CMS and the privacy endpoints.')
@minValue(10)
@maxValue(100000)
param cmsRequestsPerMinutePerAddress int = 600

@description('Whether the firewall refuses what a rule matches, or only logs it: to see in a new environment what it would refuse.')
@allowed(['Detection', 'Prevention'])
param firewallMode string = 'Prevention'

@description('Minor version of Python, the same as the one the package was built for.')
@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string = '3.11'

@description('Memory of an instance in MB; 2048 comes with one core.')
@allowed([512, 2048, 4096])
param instanceMemoryMb int = 2048

@description('Most instances of the app.')
@minValue(40)
@maxValue(1000)
param maximumInstances int

@description('Instances that always stand ready for HTTP.')
@minValue(0)
@maxValue(1000)
param alwaysReadyHttp int

@description('Instances that always stand ready to fold events into signals.')
@minValue(0)
@maxValue(1000)
param alwaysReadyFold int

@description('Versions of the stored formats that are written: newest; or before, while instances of the release before still run.')
@allowed(['newest', 'before'])
param writtenFormats string = 'newest'

@description('Functions that drain the roll-up side by side, each on an instance of its own.')
@minValue(1)
@maxValue(16)
param rollUpDrainers int

@description('Instances that always stand ready for each of them.')
@minValue(0)
@maxValue(1000)
param alwaysReadyRollUp int

@description('Requests one instance serves at a time before another is started.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int = 12

@description('Python processes an instance runs; one a core.')
@minValue(1)
@maxValue(10)
param workerProcesses int = 1

@description('Highest request units a second of the container user-activity; a tenth of it is always paid.')
@minValue(1000)
@maxValue(1000000)
param userActivityMaxThroughput int

@description('Highest request units a second of each of the other containers.')
@minValue(1000)
@maxValue(100000)
param contentMaxThroughput int = 4000

@description('Messaging units of Service Bus; each carries about 4 MB a second.')
@allowed([1, 2, 4, 8, 16])
param messagingUnits int

@description('Raw events are deleted when a blob is older than this many days; 85 keeps every event within 90 days of its acceptance.')
@minValue(1)
@maxValue(85)
param archiveDeleteAfterDays int = 85

@description('Days telemetry is kept.')
@minValue(30)
@maxValue(90)
param telemetryRetentionDays int = 30

@description('Gigabytes of telemetry a day after which no more is taken.')
@minValue(1)
@maxValue(500)
param telemetryDailyCapGb int

@description('Days a deleted key or certificate can be recovered. It cannot be changed after the first deployment.')
@minValue(7)
@maxValue(90)
param vaultRecoveryDays int = 90

@description('Take back vaults and the flag store of these names that were deleted and are still kept: after somebody deleted the group, for one deployment.')
param recover bool = false

@description('E-mail addresses that alerts go to.')
@minLength(1)
param alertEmails string[]

@description('Webhooks that alerts go to.')
param alertWebhooks webhook[] = []

@description('Open the two doors that stories need: the media account, by signed links alone, and Web PubSub, for nudges. Off, neither is made.')
param storiesDoors bool = false

@description('Container image of the operations and switch jobs: the Functions image of the same Python version, by digest.')
@minLength(80)
param operationsImage string = 'mcr.microsoft.com/azure-functions/python:4-python3.11@sha256:ebc5ba1fc20f7809b2676872a016ba6ede2c43d2feab4c22164b6f2a07d75733'

var suffix = take(uniqueString(resourceGroup().id), 6)
var nameSuffix = '${namePrefix}-${environmentName}'
var tags = union(extraTags, {
  environment: environmentName
  workload: 'video-feed'
})

var cosmosName = 'cosmos-${nameSuffix}-${suffix}'
var serviceBusName = 'sbns-${nameSuffix}-${suffix}'
var archiveStorageName = '${namePrefix}${environmentName}arc${suffix}'
var mediaStorageName = '${namePrefix}${environmentName}med${suffix}'
var webPubSubName = 'wps-${nameSuffix}-${suffix}'
var hostStorageName = '${namePrefix}${environmentName}host${suffix}'
var appConfigurationName = 'appcs-${nameSuffix}-${suffix}'
var appVaultName = 'kva-${namePrefix}-${suffix}'
var entryVaultName = 'kve-${namePrefix}-${suffix}'
var appName = 'func-${nameSuffix}-${suffix}'
var databaseName = 'feed'
var dnsLabel = empty(entryDnsLabel) ? 'feed-${nameSuffix}-${suffix}' : 'feed-${entryDnsLabel}'

var zoneNames = {
  cosmos: 'privatelink.documents.azure.com'
  serviceBus: 'privatelink.servicebus.windows.net'
  blob: 'privatelink.blob.${environment().suffixes.storage}'
  appConfiguration: 'privatelink.azconfig.io'
  keyVault: 'privatelink.vaultcore.azure.net'
  sites: 'privatelink.azurewebsites.net'
  webPubSub: 'privatelink.webpubsub.azure.com'
  monitor: 'privatelink.monitor.azure.com'
  oms: 'privatelink.oms.opinsights.azure.com'
  ods: 'privatelink.ods.opinsights.azure.com'
  agents: 'privatelink.agentsvc.azure-automation.net'
}

module identities 'modules/identity.bicep' = {
  name: 'identities'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
  }
}

module network 'modules/network.bicep' = {
  name: 'network'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    addressSpace: addressSpace
    entryPrefix: entryPrefix
    functionsPrefix: functionsPrefix
    endpointsPrefix: endpointsPrefix
    operationsPrefix: operationsPrefix
    entryDnsLabel: dnsLabel
    ddosProtectionPlanId: ddosProtectionPlanId
    zoneRedundant: zoneRedundant
  }
}

module privateDns 'modules/privateDns.bicep' = {
  name: 'private-dns'
  params: {
    tags: tags
    networkId: network.outputs.networkId
    zoneNames: [
      zoneNames.cosmos
      zoneNames.serviceBus
      zoneNames.blob
      zoneNames.appConfiguration
      zoneNames.keyVault
      zoneNames.sites
      zoneNames.monitor
      zoneNames.oms
      zoneNames.ods
      zoneNames.agents
      zoneNames.webPubSub
    ]
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    retentionDays: telemetryRetentionDays
    dailyCapGb: telemetryDailyCapGb
    alertEmails: alertEmails
    alertWebhooks: alertWebhooks
  }
}

module cosmos 'modules/cosmos.bicep' = {
  name: 'cosmos'
  params: {
    location: location
    tags: tags
    accountName: cosmosName
    databaseName: databaseName
    zoneRedundant: zoneRedundant
    secondaryLocation: secondaryLocation
    userActivityMaxThroughput: userActivityMaxThroughput
    contentMaxThroughput: contentMaxThroughput
  }
}

module serviceBus 'modules/serviceBus.bicep' = {
  name: 'service-bus'
  params: {
    location: location
    tags: tags
    namespaceName: serviceBusName
    messagingUnits: messagingUnits
  }
}

module archiveStorage 'modules/archiveStorage.bicep' = {
  name: 'archive-storage'
  params: {
    location: location
    tags: tags
    accountName: archiveStorageName
    redundancy: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
    deleteAfterDays: archiveDeleteAfterDays
  }
}

module hostStorage 'modules/hostStorage.bicep' = {
  name: 'host-storage'
  params: {
    location: location
    tags: tags
    accountName: hostStorageName
    redundancy: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
  }
}

module mediaStorage 'modules/mediaStorage.bicep' = if (storiesDoors) {
  name: 'media-storage'
  params: {
    location: location
    tags: tags
    accountName: mediaStorageName
    redundancy: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'
    appPrincipalId: identities.outputs.appPrincipalId
    appIdentityId: resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'id-${nameSuffix}-app')
  }
}

module webPubSub 'modules/webPubSub.bicep' = if (storiesDoors) {
  name: 'web-pubsub'
  params: {
    location: location
    tags: tags
    serviceName: webPubSubName
    appPrincipalId: identities.outputs.appPrincipalId
    appIdentityId: resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'id-${nameSuffix}-app')
  }
}

module appConfiguration 'modules/appConfiguration.bicep' = {
  name: 'app-configuration'
  params: {
    location: location
    tags: tags
    storeName: appConfigurationName
    recover: recover
  }
}

module appVault 'modules/keyVault.bicep' = {
  name: 'app-vault'
  params: {
    location: location
    tags: tags
    vaultName: appVaultName
    recoveryDays: vaultRecoveryDays
    recover: recover
  }
}

// Apart from the app's vault, so that the app cannot read the key of the certificate, nor the gateway the app's keys.
module entryVault 'modules/keyVault.bicep' = {
  name: 'entry-vault'
  params: {
    location: location
    tags: tags
    vaultName: entryVaultName
    recoveryDays: vaultRecoveryDays
    recover: recover
  }
}

module roles 'modules/roles.bicep' = {
  name: 'roles'
  params: {
    cosmosName: cosmosName
    cosmosDatabase: databaseName
    serviceBusName: serviceBusName
    archiveStorageName: archiveStorageName
    hostStorageName: hostStorageName
    appConfigurationName: appConfigurationName
    appVaultName: appVaultName
    entryVaultName: entryVaultName
    insightsName: 'appi-${nameSuffix}'
    appPrincipalId: identities.outputs.appPrincipalId
    appIdentityId: resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'id-${nameSuffix}-app')
    entryPrincipalId: identities.outputs.entryPrincipalId
    entryIdentityId: resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'id-${nameSuffix}-entry')
    operationsPrincipalId: identities.outputs.operationsPrincipalId
    operationsIdentityId: resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'id-${nameSuffix}-operations')
    switchPrincipalId: identities.outputs.switchPrincipalId
    switchIdentityId: resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'id-${nameSuffix}-switch')
  }
  dependsOn: [
    monitoring
    cosmos
    serviceBus
    archiveStorage
    hostStorage
    appConfiguration
    appVault
    entryVault
  ]
}

module privateEndpoints 'modules/privateEndpoints.bicep' = {
  name: 'private-endpoints'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    subnetId: network.outputs.endpointsSubnetId
    endpoints: [
      {
        name: 'cosmos'
        targetId: cosmos.outputs.accountId
        groupId: 'Sql'
        zoneNames: [
          zoneNames.cosmos
        ]
      }
      {
        name: 'service-bus'
        targetId: serviceBus.outputs.namespaceId
        groupId: 'namespace'
        zoneNames: [
          zoneNames.serviceBus
        ]
      }
      {
        name: 'archive'
        targetId: archiveStorage.outputs.accountId
        groupId: 'blob'
        zoneNames: [
          zoneNames.blob
        ]
      }
      {
        name: 'host'
        targetId: hostStorage.outputs.accountId
        groupId: 'blob'
        zoneNames: [
          zoneNames.blob
        ]
      }
      {
        name: 'app-configuration'
        targetId: appConfiguration.outputs.storeId
        groupId: 'configurationStores'
        zoneNames: [
          zoneNames.appConfiguration
        ]
      }
      {
        name: 'app-vault'
        targetId: appVault.outputs.vaultId
        groupId: 'vault'
        zoneNames: [
          zoneNames.keyVault
        ]
      }
      {
        name: 'entry-vault'
        targetId: entryVault.outputs.vaultId
        groupId: 'vault'
        zoneNames: [
          zoneNames.keyVault
        ]
      }
      {
        name: 'monitor'
        targetId: monitoring.outputs.linkScopeId
        groupId: 'azuremonitor'
        zoneNames: [
          zoneNames.monitor
          zoneNames.oms
          zoneNames.ods
          zoneNames.agents
          zoneNames.blob
        ]
      }
    ]
  }
  // After the roles: an account of Cosmos DB takes one management operation at a time.
  dependsOn: [
    privateDns
    roles
  ]
}

// What only the app calls of the two doors. After the other endpoints: the network refuses several changes at once.
module doorEndpoints 'modules/privateEndpoints.bicep' = if (storiesDoors) {
  name: 'door-endpoints'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    subnetId: network.outputs.endpointsSubnetId
    endpoints: [
      {
        name: 'media'
        targetId: mediaStorage!.outputs.accountId
        groupId: 'blob'
        zoneNames: [
          zoneNames.blob
        ]
      }
      {
        name: 'web-pubsub'
        targetId: webPubSub!.outputs.serviceId
        groupId: 'webpubsub'
        zoneNames: [
          zoneNames.webPubSub
        ]
      }
    ]
  }
  dependsOn: [
    privateEndpoints
  ]
}

module functionApp 'modules/functionApp.bicep' = {
  name: 'function-app'
  params: {
    location: location
    tags: tags
    appName: appName
    planName: 'plan-${nameSuffix}'
    subnetId: network.outputs.functionsSubnetId
    identityId: identities.outputs.appId
    identityClientId: identities.outputs.appClientId
    pythonVersion: pythonVersion
    instanceMemoryMb: instanceMemoryMb
    maximumInstances: maximumInstances
    alwaysReadyHttp: alwaysReadyHttp
    alwaysReadyFold: alwaysReadyFold
    writtenFormats: writtenFormats
    rollUpDrainers: rollUpDrainers
    alwaysReadyRollUp: alwaysReadyRollUp
    httpConcurrency: httpConcurrency
    workerProcesses: workerProcesses
    zoneRedundant: zoneRedundant
    hostStorageName: hostStorageName
    deploymentContainerUrl: hostStorage.outputs.deploymentContainerUrl
    insightsConnectionString: monitoring.outputs.insightsConnectionString
    cosmosEndpoint: cosmos.outputs.endpoint
    cosmosDatabase: databaseName
    serviceBusHostName: serviceBus.outputs.hostName
    archiveBlobEndpoint: archiveStorage.outputs.blobEndpoint
    mediaBlobEndpoint: storiesDoors ? mediaStorage!.outputs.blobEndpoint : ''
    webPubSubEndpoint: storiesDoors ? webPubSub!.outputs.endpoint : ''
    appConfigurationEndpoint: appConfiguration.outputs.endpoint
    vaultUri: appVault.outputs.vaultUri
  }
  dependsOn: [
    roles
    privateEndpoints
    doorEndpoints
  ]
}

// After the other endpoints: the network refuses several changes at once.
module appEndpoint 'modules/privateEndpoints.bicep' = {
  name: 'app-endpoint'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    subnetId: network.outputs.endpointsSubnetId
    endpoints: [
      {
        name: 'app'
        targetId: functionApp.outputs.appId
        groupId: 'sites'
        zoneNames: [
          zoneNames.sites
        ]
      }
    ]
  }
}

module operationsRole 'modules/operationsRole.bicep' = {
  name: 'operations-role'
  params: {
    appName: appName
    operationsPrincipalId: identities.outputs.operationsPrincipalId
    operationsIdentityId: resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', 'id-${nameSuffix}-operations')
  }
  dependsOn: [
    functionApp
  ]
}

module operations 'modules/operations.bicep' = {
  name: 'operations'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    subnetId: network.outputs.operationsSubnetId
    image: operationsImage
    identityId: identities.outputs.operationsId
    identityClientId: identities.outputs.operationsClientId
    appIdentityId: identities.outputs.appId
    appIdentityClientId: identities.outputs.appClientId
    appId: functionApp.outputs.appId
    appName: functionApp.outputs.appName
    appConfigurationEndpoint: appConfiguration.outputs.endpoint
    appVaultUri: appVault.outputs.vaultUri
    entryVaultUri: entryVault.outputs.vaultUri
    packagesContainerUrl: hostStorage.outputs.packagesContainerUrl
    entryHost: network.outputs.entryHost
    certificateName: certificateName
    switchIdentityId: identities.outputs.switchId
    switchClientId: identities.outputs.switchClientId
    onCallIdentityName: 'id-pipeline-switch'
  }
  dependsOn: [
    appEndpoint
  ]
}

module entry 'modules/entry.bicep' = if (deployEntry) {
  name: 'entry'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    subnetId: network.outputs.entrySubnetId
    addressId: network.outputs.entryAddressId
    identityId: identities.outputs.entryId
    vaultUri: entryVault.outputs.vaultUri
    certificateName: certificateName
    backendHost: functionApp.outputs.hostName
    minimumCapacity: entryMinimumCapacity
    maximumCapacity: entryMaximumCapacity
    firewallMode: firewallMode
    requestsPerMinutePerAddress: requestsPerMinutePerAddress
    cmsRequestsPerMinutePerAddress: cmsRequestsPerMinutePerAddress
    zoneRedundant: zoneRedundant
  }
  dependsOn: [
    roles
    appEndpoint
  ]
}

module entryAlerts 'modules/entryAlerts.bicep' = if (deployEntry) {
  name: 'entry-alerts'
  params: {
    tags: tags
    nameSuffix: nameSuffix
    gatewayName: 'agw-${nameSuffix}'
    actionGroupId: monitoring.outputs.actionGroupId
    workspaceId: monitoring.outputs.workspaceId
  }
  dependsOn: [
    entry
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: monitoring.outputs.actionGroupId
    cosmosId: cosmos.outputs.accountId
    serviceBusId: serviceBus.outputs.namespaceId
    appConfigurationId: appConfiguration.outputs.storeId
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  params: {
    location: location
    tags: tags
    title: 'Video feed, ${environmentName}'
    workspaceId: monitoring.outputs.workspaceId
  }
}

@description('Public host name of the entry.')
output entryHost string = network.outputs.entryHost

@description('Name of the operations job.')
output operationsJob string = operations.outputs.jobName

@description('Name of the app.')
output appName string = functionApp.outputs.appName

@description('Whether the firewall refuses, or only logs.')
output firewallMode string = firewallMode
