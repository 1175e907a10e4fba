// A key vault, private and by role only. What it keeps is made by the operations job and never by a deployment.

@description('Region of the vault.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the vault; unique in Azure.')
@minLength(3)
@maxLength(24)
param vaultName string

@description('Days a deleted entry can be recovered.')
@minValue(7)
@maxValue(90)
param recoveryDays int

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
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
