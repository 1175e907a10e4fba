// Cosmos DB: one database, seven containers, no keys. Container shapes equal `shared/adapters/documents/cosmos_layout.py`.

import { tagSet } from '../types.bicep'

@description('Region of the account.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Name of the account; unique in Azure.')
@minLength(3)
@maxLength(44)
param accountName string

@description('Name of the database.')
@minLength(1)
@maxLength(255)
param databaseName string

@description('Spread each region over its availability zones.')
param zoneRedundant bool

@description('Second region that takes over when the first is lost; empty for none.')
param secondaryLocation string

@description('Highest request units a second of the container user-activity; the floor is a tenth of it.')
@minValue(1000)
@maxValue(1000000)
param userActivityMaxThroughput int

@description('Highest request units a second of each of the other containers.')
@minValue(1000)
@maxValue(100000)
param contentMaxThroughput int

var firstLocation = [
  {
    locationName: location
    failoverPriority: 0
    isZoneRedundant: zoneRedundant
  }
]

var secondLocation = [
  {
    locationName: secondaryLocation
    failoverPriority: 1
    isZoneRedundant: zoneRedundant
  }
]

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-04-15' = {
  name: accountName
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    locations: empty(secondaryLocation) ? firstLocation : concat(firstLocation, secondLocation)
    consistencyPolicy: {
      defaultConsistencyLevel: 'Session'
    }
    enableAutomaticFailover: true
    enableMultipleWriteLocations: false
    publicNetworkAccess: 'Disabled'
    networkAclBypass: 'None'
    isVirtualNetworkFilterEnabled: false
    ipRules: []
    disableLocalAuth: true
    disableKeyBasedMetadataWriteAccess: true
    minimalTlsVersion: 'Tls12'
    // Seven days are enough to undo a mistake and end before any other copy of a user's signals may.
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: {
        tier: 'Continuous7Days'
      }
    }
  }
}

resource database 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-04-15' = {
  parent: account
  name: databaseName
  location: location
  tags: tags
  properties: {
    resource: {
      id: databaseName
    }
  }
}

resource tenants 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'tenants'
  location: location
  tags: tags
  properties: {
    resource: {
      id: 'tenants'
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: ['/tenantId']
      }
      defaultTtl: -1
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          {
            path: '/tenantId/?'
          }
        ]
        excludedPaths: [
          {
            path: '/*'
          }
        ]
      }
    }
    options: {
      autoscaleSettings: {
        maxThroughput: contentMaxThroughput
      }
    }
  }
}

resource videos 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'videos'
  location: location
  tags: tags
  properties: {
    resource: {
      id: 'videos'
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: ['/tenantId']
      }
      defaultTtl: -1
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          {
            path: '/tenantId/?'
          }
        ]
        excludedPaths: [
          {
            path: '/*'
          }
        ]
      }
    }
    options: {
      autoscaleSettings: {
        maxThroughput: contentMaxThroughput
      }
    }
  }
}

resource videoStats 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'video-stats'
  location: location
  tags: tags
  properties: {
    resource: {
      id: 'video-stats'
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: ['/tenantId']
      }
      defaultTtl: -1
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          {
            path: '/tenantId/?'
          }
        ]
        excludedPaths: [
          {
            path: '/*'
          }
        ]
      }
    }
    options: {
      autoscaleSettings: {
        maxThroughput: contentMaxThroughput
      }
    }
  }
}

// Read by id only: it indexes nothing, so that a write costs about its size.
resource userActivity 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'user-activity'
  location: location
  tags: tags
  properties: {
    resource: {
      id: 'user-activity'
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: ['/userKey']
      }
      defaultTtl: 7776000
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: []
        excludedPaths: [
          {
            path: '/*'
          }
        ]
      }
    }
    options: {
      autoscaleSettings: {
        maxThroughput: userActivityMaxThroughput
      }
    }
  }
}

// Stories, each in the bucket of its hour; every item ends by a time to live of its own.
resource stories 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'stories'
  location: location
  tags: tags
  properties: {
    resource: {
      id: 'stories'
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: ['/bucketKey']
      }
      defaultTtl: -1
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: [
          {
            path: '/bucketKey/?'
          }
        ]
        excludedPaths: [
          {
            path: '/*'
          }
        ]
      }
    }
    options: {
      autoscaleSettings: {
        maxThroughput: contentMaxThroughput
      }
    }
  }
}

// Who saw a story and what they made of it.
resource storyActivity 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'story-activity'
  location: location
  tags: tags
  properties: {
    resource: {
      id: 'story-activity'
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: ['/storyKey']
      }
      defaultTtl: -1
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: []
        excludedPaths: [
          {
            path: '/*'
          }
        ]
      }
    }
    options: {
      autoscaleSettings: {
        maxThroughput: contentMaxThroughput
      }
    }
  }
}

// Who follows whom, and what one person owns, in one partition a person.
resource people 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-04-15' = {
  parent: database
  name: 'people'
  location: location
  tags: tags
  properties: {
    resource: {
      id: 'people'
      partitionKey: {
        kind: 'Hash'
        version: 2
        paths: ['/personKey']
      }
      defaultTtl: -1
      indexingPolicy: {
        indexingMode: 'consistent'
        automatic: true
        includedPaths: []
        excludedPaths: [
          {
            path: '/*'
          }
        ]
      }
    }
    options: {
      autoscaleSettings: {
        maxThroughput: contentMaxThroughput
      }
    }
  }
}

output accountId string = account.id
output endpoint string = account.properties.documentEndpoint
