// Who may do what, each on the smallest scope that does. An assignment is named after the identity's resource id, which is
// known before anything is deployed, so that a what-if can tell which are new. An identity that is deleted and made anew has
// another principal: delete its old assignments first.

@description('Name of the Cosmos DB account.')
@minLength(3)
@maxLength(44)
param cosmosName string

@description('Name of its database.')
param cosmosDatabase string

@description('Name of the Service Bus namespace.')
@minLength(6)
@maxLength(50)
param serviceBusName string

@description('Name of the archive account.')
@minLength(3)
@maxLength(24)
param archiveStorageName string

@description('Name of the storage account of the host.')
@minLength(3)
@maxLength(24)
param hostStorageName string

@description('Name of the App Configuration store.')
@minLength(5)
@maxLength(50)
param appConfigurationName string

@description('Name of the vault with the keys of the app.')
@minLength(3)
@maxLength(24)
param appVaultName string

@description('Name of the vault with the certificate of the entry.')
@minLength(3)
@maxLength(24)
param entryVaultName string

@description('Name of the Application Insights component.')
@minLength(1)
@maxLength(255)
param insightsName string

@description('Principal of the app.')
param appPrincipalId string

@description('Resource id of the identity of the app; names its assignments.')
param appIdentityId string

@description('Principal of the entry.')
param entryPrincipalId string

@description('Resource id of the identity of the entry; names its assignments.')
param entryIdentityId string

@description('Principal of the operations job.')
param operationsPrincipalId string

@description('Resource id of the identity of the operations job; names its assignments.')
param operationsIdentityId string

@description('Principal of the switch job.')
param switchPrincipalId string

@description('Resource id of the identity of the switch job; names its assignment.')
param switchIdentityId string

// Built-in roles, the same in every tenant.
var roles = {
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  serviceBusDataSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  serviceBusDataOwner: '090c5cfd-751d-490a-894a-3ce6f1109419'
  serviceBusDataReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  appConfigurationDataReader: '516239f1-63e1-4d78-a4de-a74fb236a071'
  appConfigurationDataOwner: '5ae67dd6-50cb-40e7-96ff-dc2bfa4b606b'
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  keyVaultSecretsOfficer: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  keyVaultCertificatesOfficer: 'a4417e6f-fecd-4de8-b567-7b0420556985'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
}

resource cosmos 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' existing = {
  name: cosmosName
}

resource bus 'Microsoft.ServiceBus/namespaces@2026-01-01' existing = {
  name: serviceBusName
}

resource topic 'Microsoft.ServiceBus/namespaces/topics@2026-01-01' existing = {
  parent: bus
  name: 'user-events'
}

resource signals 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2026-01-01' existing = {
  parent: topic
  name: 'signals'
}

resource rollup 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2026-01-01' existing = {
  parent: topic
  name: 'rollup'
}

resource learning 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2026-01-01' existing = {
  parent: topic
  name: 'learning'
}

resource deadSignals 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' existing = {
  parent: bus
  name: 'user-events-dead-signals'
}

resource deadRollup 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' existing = {
  parent: bus
  name: 'user-events-dead-rollup'
}

resource deadLearning 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' existing = {
  parent: bus
  name: 'user-events-dead-learning'
}

resource archive 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: archiveStorageName
}

resource archiveBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' existing = {
  parent: archive
  name: 'default'
}

resource rawEvents 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: archiveBlobs
  name: 'userevents-raw'
}

resource learningSamples 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: archiveBlobs
  name: 'learning-samples'
}

resource rankingTables 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: archiveBlobs
  name: 'ranking-tables'
}

resource cmsUploads 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: archiveBlobs
  name: 'cms-uploads'
}

resource host 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: hostStorageName
}

resource hostBlobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' existing = {
  parent: host
  name: 'default'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: hostBlobs
  name: 'packages'
}

resource flags 'Microsoft.AppConfiguration/configurationStores@2024-06-01' existing = {
  name: appConfigurationName
}

resource appVault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: appVaultName
}

resource entryVault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: entryVaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

// The app

resource appReadsAndWritesDocuments 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-04-15' = {
  parent: cosmos
  name: guid(cosmos.id, cosmosDatabase, appIdentityId, 'data-contributor')
  properties: {
    // Data only: it can neither make nor remove a container.
    roleDefinitionId: '${cosmos.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000002'
    principalId: appPrincipalId
    scope: '${cosmos.id}/dbs/${cosmosDatabase}'
  }
}

resource appPublishes 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: topic
  name: guid(topic.id, appIdentityId, roles.serviceBusDataSender)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Owner of this one subscription: the host scales the trigger by the length of the queue, which a receiver may not read.
resource appReceivesSignals 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: signals
  name: guid(signals.id, appIdentityId, roles.serviceBusDataOwner)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataOwner)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appReceivesRollup 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: rollup
  name: guid(rollup.id, appIdentityId, roles.serviceBusDataReceiver)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appReceivesLearning 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: learning
  name: guid(learning.id, appIdentityId, roles.serviceBusDataReceiver)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appSetsSignalsAside 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: deadSignals
  name: guid(deadSignals.id, appIdentityId, roles.serviceBusDataSender)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appReplaysSignals 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: deadSignals
  name: guid(deadSignals.id, appIdentityId, roles.serviceBusDataReceiver)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appSetsRollupAside 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: deadRollup
  name: guid(deadRollup.id, appIdentityId, roles.serviceBusDataSender)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appSetsLearningAside 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: deadLearning
  name: guid(deadLearning.id, appIdentityId, roles.serviceBusDataSender)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appReplaysRollup 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: deadRollup
  name: guid(deadRollup.id, appIdentityId, roles.serviceBusDataReceiver)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appReplaysLearning 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: deadLearning
  name: guid(deadLearning.id, appIdentityId, roles.serviceBusDataReceiver)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appArchives 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: rawEvents
  name: guid(rawEvents.id, appIdentityId, roles.storageBlobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appKeepsSamples 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: learningSamples
  name: guid(learningSamples.id, appIdentityId, roles.storageBlobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appBuildsTables 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: rankingTables
  name: guid(rankingTables.id, appIdentityId, roles.storageBlobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appWritesUploads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: cmsUploads
  name: guid(cmsUploads.id, appIdentityId, roles.storageBlobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource hostKeepsItsLeases 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: host
  name: guid(host.id, appIdentityId, roles.storageBlobDataOwner)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appReadsFlags 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: flags
  name: guid(flags.id, appIdentityId, roles.appConfigurationDataReader)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.appConfigurationDataReader
    )
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appReadsItsKeys 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: appVault
  name: guid(appVault.id, appIdentityId, roles.keyVaultSecretsUser)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource appSendsTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, appIdentityId, roles.monitoringMetricsPublisher)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.monitoringMetricsPublisher
    )
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The entry

resource entryReadsItsCertificate 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: entryVault
  name: guid(entryVault.id, entryIdentityId, roles.keyVaultSecretsUser)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
    principalId: entryPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The operations job; its right to deploy code stands beside the app, in operationsRole.bicep

resource operationsKeepsPackages 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: packages
  name: guid(packages.id, operationsIdentityId, roles.storageBlobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.storageBlobDataContributor
    )
    principalId: operationsPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource operationsFlipsFlags 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: flags
  name: guid(flags.id, operationsIdentityId, roles.appConfigurationDataOwner)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.appConfigurationDataOwner)
    principalId: operationsPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource operationsMakesKeys 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: appVault
  name: guid(appVault.id, operationsIdentityId, roles.keyVaultSecretsOfficer)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsOfficer)
    principalId: operationsPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource operationsMakesCertificates 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: entryVault
  name: guid(entryVault.id, operationsIdentityId, roles.keyVaultCertificatesOfficer)
  properties: {
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      roles.keyVaultCertificatesOfficer
    )
    principalId: operationsPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// The switch job: this role and no other

resource switchFlipsFlags 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: flags
  name: guid(flags.id, switchIdentityId, roles.appConfigurationDataOwner)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.appConfigurationDataOwner)
    principalId: switchPrincipalId
    principalType: 'ServicePrincipal'
  }
}
