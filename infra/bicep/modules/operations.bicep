// The operations job: a short program, started by hand or by the pipeline through Azure Resource Manager and run
// inside the network, because from outside neither the code nor a flag nor a key can be reached. It deploys code,
// flips flags, makes keys, and runs a command of the app. Nothing listens, and nothing runs while it has no work.
// Beside it the switch job, the same program under an identity that can write flags and do nothing else: whoever may
// start a job may also change its command, so those on call may start this one only.

import { tagSet } from '../types.bicep'

@description('Region of the job.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
@maxLength(24)
param nameSuffix string

@description('Subnet of the job; delegated to Microsoft.App/environments.')
param subnetId string

@description('Container image: the Functions image of the Python version the app runs, so that commands of the app run in it.')
@minLength(80)
param image string

@description('Resource id of the identity of operations.')
param identityId string

@description('Client id of the identity of operations.')
param identityClientId string

@description('Resource id of the identity of the app, used for commands of the app only.')
param appIdentityId string

@description('Client id of the identity of the app.')
param appIdentityClientId string

@description('Resource id of the app.')
param appId string

@description('Name of the app.')
param appName string

@description('Endpoint of the App Configuration store.')
param appConfigurationEndpoint string

@description('URI of the vault with the keys of the app, with a slash at its end.')
param appVaultUri string

@description('URI of the vault with the certificate of the entry, with a slash at its end.')
param entryVaultUri string

@description('URL of the blob container that keeps packages.')
param packagesContainerUrl string

@description('Public host name of the entry; the subject of a certificate made for a test environment.')
param entryHost string

@description('Name of the certificate of the entry.')
param certificateName string

@description('Resource id of the identity of the switch job.')
param switchIdentityId string

@description('Client id of the identity of the switch job.')
param switchClientId string

@description('Name of the identity that workflows of those on call sign in with; step 1 makes it.')
param onCallIdentityName string

// What the jobs print, apart from the telemetry: neither holds secrets nor events, and those on call read it from anywhere,
// signed in and with a role. What telemetry and logs of the app hold is read inside the network only.
resource printed 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: 'logop-${nameSuffix}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: 30
    workspaceCapping: {
      dailyQuotaGb: 1
    }
    publicNetworkAccessForIngestion: 'Disabled'
    publicNetworkAccessForQuery: 'Enabled'
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
      immediatePurgeDataOn30Days: true
    }
  }
}

resource jobEnvironment 'Microsoft.App/managedEnvironments@2025-07-01' = {
  name: 'cae-${nameSuffix}'
  location: location
  tags: tags
  properties: {
    publicNetworkAccess: 'Disabled'
    vnetConfiguration: {
      internal: true
      infrastructureSubnetId: subnetId
    }
    appLogsConfiguration: {
      destination: 'azure-monitor'
    }
    workloadProfiles: [
      {
        name: 'Consumption'
        workloadProfileType: 'Consumption'
      }
    ]
    zoneRedundant: false
  }
}

resource jobOutput 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: jobEnvironment
  name: 'workspace'
  properties: {
    workspaceId: printed.id
    logs: [
      {
        category: 'ContainerAppConsoleLogs'
        enabled: true
      }
      {
        category: 'ContainerAppSystemLogs'
        enabled: true
      }
    ]
  }
}

var runsOnce = {
  triggerType: 'Manual'
  replicaTimeout: 1800
  replicaRetryLimit: 0
  manualTriggerConfig: {
    parallelism: 1
    replicaCompletionCount: 1
  }
}

// Whoever starts a job appends the action to these; without one it says what there is and does nothing.
var program = [
  'python3'
  '-c'
  loadTextContent('../../operate.py')
]

resource job 'Microsoft.App/jobs@2025-07-01' = {
  name: 'job-${nameSuffix}'
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
      '${appIdentityId}': {}
    }
  }
  properties: {
    environmentId: jobEnvironment.id
    workloadProfileName: 'Consumption'
    configuration: runsOnce
    template: {
      containers: [
        {
          name: 'operate'
          image: image
          command: program
          args: [
            'help'
          ]
          env: [
            {
              name: 'OPERATIONS_CLIENT_ID'
              value: identityClientId
            }
            {
              name: 'APP_CLIENT_ID'
              value: appIdentityClientId
            }
            {
              name: 'APP_ID'
              value: appId
            }
            {
              name: 'APP_SCM_URL'
              value: 'https://${appName}.scm.azurewebsites.net'
            }
            {
              name: 'RESOURCE_MANAGER'
              value: environment().resourceManager
            }
            {
              name: 'APP_CONFIGURATION_ENDPOINT'
              value: appConfigurationEndpoint
            }
            {
              name: 'APP_VAULT_URI'
              value: appVaultUri
            }
            {
              name: 'ENTRY_VAULT_URI'
              value: entryVaultUri
            }
            {
              name: 'PACKAGES_URL'
              value: packagesContainerUrl
            }
            {
              name: 'ENTRY_HOST'
              value: entryHost
            }
            {
              name: 'ENTRY_CERTIFICATE'
              value: certificateName
            }
          ]
          resources: {
            cpu: 1
            memory: '2Gi'
          }
        }
      ]
    }
  }
}

resource switchJob 'Microsoft.App/jobs@2025-07-01' = {
  name: 'switch-${nameSuffix}'
  location: location
  tags: tags
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${switchIdentityId}': {}
    }
  }
  properties: {
    environmentId: jobEnvironment.id
    workloadProfileName: 'Consumption'
    configuration: runsOnce
    template: {
      containers: [
        {
          name: 'operate'
          image: image
          command: program
          args: [
            'help'
          ]
          env: [
            {
              name: 'OPERATIONS_CLIENT_ID'
              value: switchClientId
            }
            {
              name: 'APP_CONFIGURATION_ENDPOINT'
              value: appConfigurationEndpoint
            }
          ]
          resources: {
            cpu: json('0.5')
            memory: '1Gi'
          }
        }
      ]
    }
  }
}

resource onCall 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: onCallIdentityName
}

// The role is one that step 1 makes (pipeline.bicep).
var operationsStart = guid(resourceGroup().id, 'operations-start')

resource onCallStartsTheSwitch 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: switchJob
  name: guid(switchJob.id, onCall.id, operationsStart)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', operationsStart)
    principalId: onCall.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

output jobName string = job.name
