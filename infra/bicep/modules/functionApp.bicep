// The function app on Flex Consumption: reached from inside the network only, by identity only, never by a key.
// Its code is deployed apart; deploying this file again leaves the code as it is.

import { tagSet } from '../types.bicep'

@description('Region of the app.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Name of the app; unique in Azure.')
@minLength(2)
@maxLength(60)
param appName string

@description('Name of the plan.')
@minLength(1)
@maxLength(60)
param planName string

@description('Subnet the app sends from; delegated to Microsoft.App/environments.')
param subnetId string

@description('Resource id of the identity the app works as.')
param identityId string

@description('Client id of that identity.')
param identityClientId string

@description('Minor version of Python.')
@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string

@description('Memory of an instance in MB; 2048 comes with one core.')
@allowed([512, 2048, 4096])
param instanceMemoryMb int

@description('Most instances.')
@minValue(40)
@maxValue(1000)
param maximumInstances int

@description('Instances that always stand ready for HTTP; 0 for none, 2 or more with zone redundancy.')
@minValue(0)
@maxValue(1000)
param alwaysReadyHttp int

@description('Instances that always stand ready to fold events into signals; 0 for none, 2 or more with zone redundancy.')
@minValue(0)
@maxValue(1000)
param alwaysReadyFold int

@description('Versions of the stored formats that are written: newest, or before.')
@allowed(['newest', 'before'])
param writtenFormats string

@description('Functions that drain the roll-up side by side, each on an instance of its own.')
@minValue(1)
@maxValue(16)
param rollUpDrainers int

@description('Instances that always stand ready for each of them; 0 for none, 2 or more with zone redundancy.')
@minValue(0)
@maxValue(1000)
param alwaysReadyRollUp int

@description('Requests one instance serves at a time before another is started.')
@minValue(1)
@maxValue(1000)
param httpConcurrency int

@description('Python processes an instance runs; one a core.')
@minValue(1)
@maxValue(10)
param workerProcesses int

@description('Spread the instances over availability zones.')
param zoneRedundant bool

@description('Name of the storage account of the host.')
param hostStorageName string

@description('URL of the blob container the package is deployed to.')
param deploymentContainerUrl string

@description('Connection string of Application Insights; it names the target and grants nothing.')
param insightsConnectionString string

@description('Endpoint of the Cosmos DB account.')
param cosmosEndpoint string

@description('Name of the database.')
param cosmosDatabase string

@description('Host name of the Service Bus namespace.')
param serviceBusHostName string

@description('Blob endpoint of the archive account.')
param archiveBlobEndpoint string

@description('Blob endpoint of the media account; empty without one.')
param mediaBlobEndpoint string

@description('Endpoint of Web PubSub; empty without one.')
param webPubSubEndpoint string

@description('Endpoint of the App Configuration store.')
param appConfigurationEndpoint string

@description('URI of the key vault, with a slash at its end.')
param vaultUri string

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: {
    name: 'FC1'
    tier: 'FlexConsumption'
  }
  properties: {
    reserved: true
    zoneRedundant: zoneRedundant
  }
}

var readyHttp = [
  {
    name: 'http'
    instanceCount: alwaysReadyHttp
  }
]

var readyFold = [
  {
    name: 'function:fold_signals'
    instanceCount: alwaysReadyFold
  }
]

var readyRollUp = [
  for number in range(1, rollUpDrainers): {
    name: number == 1 ? 'function:roll_up' : 'function:roll_up_${number}'
    instanceCount: alwaysReadyRollUp
  }
]

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: appName
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    publicNetworkAccess: 'Disabled'
    virtualNetworkSubnetId: subnetId
    keyVaultReferenceIdentity: identityId
    clientAffinityEnabled: false
    functionAppConfig: {
      runtime: {
        name: 'python'
        version: pythonVersion
      }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainerUrl
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMb
        maximumInstanceCount: maximumInstances
        alwaysReady: concat(
          alwaysReadyHttp > 0 ? readyHttp : [],
          alwaysReadyFold > 0 ? readyFold : [],
          alwaysReadyRollUp > 0 ? readyRollUp : []
        )
        triggers: {
          http: {
            // Without it Python serves one request at a time on an instance.
            perInstanceConcurrency: httpConcurrency
          }
        }
      }
    }
    siteConfig: {
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
      ftpsState: 'Disabled'
      http20Enabled: true
      cors: {
        allowedOrigins: []
      }
      appSettings: [
        // The host
        {
          name: 'AzureWebJobsStorage__accountName'
          value: hostStorageName
        }
        {
          name: 'AzureWebJobsStorage__credential'
          value: 'managedidentity'
        }
        {
          name: 'AzureWebJobsStorage__clientId'
          value: identityClientId
        }
        // The host would write its own events to Table storage, which has neither an endpoint nor a role here
        {
          name: 'AzureWebJobsFeatureFlags'
          value: 'DisableDiagnosticEventLogging'
        }
        {
          name: 'APPLICATIONINSIGHTS_CONNECTION_STRING'
          value: insightsConnectionString
        }
        {
          name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING'
          value: 'ClientId=${identityClientId};Authorization=AAD'
        }
        {
          name: 'AZURE_CLIENT_ID'
          value: identityClientId
        }
        {
          name: 'AZURE_TOKEN_CREDENTIALS'
          value: 'ManagedIdentityCredential'
        }
        {
          name: 'FUNCTIONS_WORKER_PROCESS_COUNT'
          value: string(workerProcesses)
        }
        // The SDK of the package, not the one that the worker brings along; from Python 3.13 on this is the default
        {
          name: 'PYTHON_ISOLATE_WORKER_DEPENDENCIES'
          value: '1'
        }
        {
          name: 'PYTHON_THREADPOOL_THREAD_COUNT'
          value: '4'
        }
        // One pool of free memory for all threads: with one each, what a busy minute freed is of no use to the others
        {
          name: 'MALLOC_ARENA_MAX'
          value: '1'
        }
        // The trigger of fold_signals, beside the setting of the sender
        {
          name: 'ServiceBusConnection__credential'
          value: 'managedidentity'
        }
        {
          name: 'ServiceBusConnection__clientId'
          value: identityClientId
        }
        // The app: every name of the table in shared/settings.py that has a meaning in Azure
        {
          name: 'DOCUMENT_STORE'
          value: 'cosmos'
        }
        {
          name: 'BUS'
          value: 'servicebus'
        }
        {
          name: 'BLOBS'
          value: 'azure'
        }
        {
          name: 'FLAGS'
          value: 'appconfig'
        }
        {
          name: 'COSMOS_ENDPOINT'
          value: cosmosEndpoint
        }
        {
          name: 'COSMOS_DATABASE'
          value: cosmosDatabase
        }
        {
          name: 'COSMOS_REGIONS'
          value: ''
        }
        {
          name: 'ServiceBusConnection__fullyQualifiedNamespace'
          value: serviceBusHostName
        }
        {
          name: 'BLOB_ENDPOINT'
          value: archiveBlobEndpoint
        }
        {
          name: 'MEDIA_ENDPOINT'
          value: mediaBlobEndpoint
        }
        {
          name: 'WEB_PUBSUB_ENDPOINT'
          value: webPubSubEndpoint
        }
        {
          name: 'APP_CONFIGURATION_ENDPOINT'
          value: appConfigurationEndpoint
        }
        {
          name: 'SIGNING_KEYS'
          value: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/signing-keys)'
        }
        {
          name: 'IDENTITY_SECRET'
          value: '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/identity-secret)'
        }
        {
          name: 'CORS_ORIGINS'
          value: ''
        }
        {
          name: 'FLAGS_REFRESH_SECONDS'
          value: '20'
        }
        {
          name: 'CONTENT_REFRESH_SECONDS'
          value: '5'
        }
        {
          name: 'SIGNALS_BUDGET_MS'
          value: '80'
        }
        {
          name: 'SIGNALS_CACHE_SECONDS'
          value: '2'
        }
        {
          name: 'CATALOG_BUDGET_MS'
          value: '5000'
        }
        {
          name: 'VIDEOS_IN_MEMORY'
          value: '400000'
        }
        {
          name: 'MAX_IN_FLIGHT'
          value: '64'
        }
        {
          name: 'SHED_DELAY_MS'
          value: '100'
        }
        {
          name: 'REFUSE_DELAY_MS'
          value: '400'
        }
        {
          name: 'USER_REQUESTS_PER_SECOND'
          value: '10'
        }
        {
          name: 'PUBLISH_BUDGET_MS'
          value: '2000'
        }
        {
          name: 'PACK_LINGER_MS'
          value: '30'
        }
        {
          name: 'HAND_ON_LINGER_MS'
          value: '300'
        }
        {
          name: 'FOLD_PATIENCE_SECONDS'
          value: '480'
        }
        {
          name: 'ROLLUP_SECONDS'
          value: '240'
        }
        {
          name: 'ROLLUP_SESSIONS'
          value: '4'
        }
        {
          name: 'ROLLUP_DRAINERS'
          value: string(rollUpDrainers)
        }
        {
          name: 'WRITE_SIGNALS_VERSION'
          value: writtenFormats == 'newest' ? '3' : '2'
        }
        {
          name: 'WRITE_RECEIPT_VERSION'
          value: writtenFormats == 'newest' ? '2' : '1'
        }
        {
          name: 'WRITE_MESSAGE_VERSION'
          value: writtenFormats == 'newest' ? '2' : '1'
        }
        {
          name: 'WRITE_CURSOR_VERSION'
          value: writtenFormats == 'newest' ? '2' : '1'
        }
        {
          name: 'USUAL_PEAK_FLOOR'
          value: '1500'
        }
        {
          name: 'STORY_PICTURE_BYTES'
          value: '10000000'
        }
        {
          name: 'STORY_CLIP_BYTES'
          value: '100000000'
        }
        {
          name: 'TELEMETRY_EXPORT_SECONDS'
          value: '60'
        }
        {
          name: 'TRACE_SAMPLE_RATIO'
          value: '0.001'
        }
        {
          name: 'LOG_FORMAT'
          value: 'json'
        }
      ]
    }
  }
}

// No user names and passwords beside the identities.
resource noFtp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource noScm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

output appId string = app.id
output appName string = app.name
output hostName string = app.properties.defaultHostName
