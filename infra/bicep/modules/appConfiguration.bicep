// App Configuration: the store of the feature flags. The flags themselves are not here: a deployment would reset the
// kill switch. The operations job seeds them once, from inside the network.

import { tagSet } from '../types.bicep'

@description('Region of the store.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Name of the store; unique in Azure.')
@minLength(5)
@maxLength(50)
param storeName string

@description('Take back a store of this name that was deleted and is still kept, instead of making one.')
param recover bool

resource store 'Microsoft.AppConfiguration/configurationStores@2024-06-01' = {
  name: storeName
  location: location
  tags: tags
  sku: {
    name: 'standard'
  }
  properties: {
    createMode: recover ? 'Recover' : 'Default'
    publicNetworkAccess: 'Disabled'
    disableLocalAuth: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 7
    dataPlaneProxy: {
      authenticationMode: 'Pass-through'
      privateLinkDelegation: 'Disabled'
    }
  }
}

output storeId string = store.id
output endpoint string = store.properties.endpoint
