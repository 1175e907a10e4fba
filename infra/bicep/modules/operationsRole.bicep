// The operations job deploys code to the app and reads its settings. No built-in role gives just that: Website Contributor
// may also change the app's configuration, and restart or delete it, but nothing beside it and no role.

@description('Name of the app.')
@minLength(2)
@maxLength(60)
param appName string

@description('Principal of the operations job.')
param operationsPrincipalId string

@description('Resource id of the identity of the operations job; names the assignment.')
param operationsIdentityId string

// Website Contributor
var websiteContributor = 'de139f84-1756-47ae-9be6-808fbbe84772'

resource app 'Microsoft.Web/sites@2025-03-01' existing = {
  name: appName
}

resource operationsDeploysCode 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: app
  name: guid(app.id, operationsIdentityId, websiteContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', websiteContributor)
    principalId: operationsPrincipalId
    principalType: 'ServicePrincipal'
  }
}
