// The archive of raw events, the sample of them that ranking learns from, and the tables built from it. What is deleted here is gone: no soft delete, no versions.

import { tagSet } from '../types.bicep'

@description('Region of the account.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Name of the account; unique in Azure, lower-case letters and digits.')
@minLength(3)
@maxLength(24)
param accountName string

@description('Redundancy of the account.')
@allowed(['Standard_LRS', 'Standard_ZRS'])
param redundancy string

@description('Raw events are deleted when a blob is older than this many days. With three days on the bus before the archive and two for the rule to be carried out, no event outlives day 90.')
@minValue(1)
@maxValue(85)
param deleteAfterDays int

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: accountName
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: redundancy
  }
  properties: {
    accessTier: 'Hot'
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Disabled'
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    allowCrossTenantReplication: false
    isLocalUserEnabled: false
    networkAcls: {
      defaultAction: 'Deny'
      // Azure's own service that deletes blobs by rule passes as a trusted service.
      bypass: 'AzureServices'
      ipRules: []
      virtualNetworkRules: []
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: false
    changeFeed: {
      enabled: false
    }
    deleteRetentionPolicy: {
      enabled: false
    }
    containerDeleteRetentionPolicy: {
      enabled: false
    }
    restorePolicy: {
      enabled: false
    }
  }
}

resource rawEvents 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'userevents-raw'
  properties: {
    publicAccess: 'None'
  }
}

resource learningSamples 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'learning-samples'
  properties: {
    publicAccess: 'None'
  }
}

resource rankingTables 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'ranking-tables'
  properties: {
    publicAccess: 'None'
  }
}

resource cmsUploads 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'cms-uploads'
  properties: {
    publicAccess: 'None'
  }
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'delete-raw-events'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${rawEvents.name}/', '${learningSamples.name}/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterCreationGreaterThan: deleteAfterDays
                }
              }
            }
          }
        }
        {
          name: 'delete-forgotten-uploads'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['blockBlob']
              prefixMatch: ['${cmsUploads.name}/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterCreationGreaterThan: 7
                }
              }
            }
          }
        }
      ]
    }
  }
}

output accountId string = account.id
output blobEndpoint string = account.properties.primaryEndpoints.blob
