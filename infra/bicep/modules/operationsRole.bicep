// The operations job may deploy code to the app and restart it, and nothing else about it.

@description('Name of the app.')
@minLength(2)
@maxLength(60)
param appName string

@description('Principal of the operations job.')
param operationsPrincipalId string

// Website Contributor
var websiteContributor = 'de139f84-1756-47ae-9be6-808fbbe84772'

resource app 'Microsoft.Web/sites@2024-11-01' existing = {
  name: appName
}

resource operationsDeploysCode 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: app
  name: guid(app.id, operationsPrincipalId, websiteContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', websiteContributor)
    principalId: operationsPrincipalId
    principalType: 'ServicePrincipal'
  }
}
