// A key vault, private and by role only. What it keeps is made by the operations job and never by a deployment.

import { tagSet } from '../types.bicep'

@description('Region of the vault.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Name of the vault; unique in Azure.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Days a deleted entry can be recovered.')
@minValue(7)
@maxValue(90)
param recoveryDays int

@description('Take back a vault of this name that was deleted and is still kept, instead of making one.')
param recover bool

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    createMode: recover ? 'recover' : 'default'
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: recoveryDays
    publicNetworkAccess: 'Disabled'
    networkAcls: {
      defaultAction: 'Deny'
      // Application Gateway fetches its certificate as a trusted service.
      bypass: 'AzureServices'
      ipRules: []
      virtualNetworkRules: []
    }
  }
}

output vaultId string = vault.id
output vaultUri string = vault.properties.vaultUri
