// The pipeline's identities: one deploys, and only from the guarded environment; one starts the switch job, from the
// environment of those on call; one looks, from any pull request.

import { tagSet } from '../types.bicep'

@description('Region of the identities.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Start of the subject that GitHub signs for the repository: repo:OWNER/NAME or repo:OWNER@ID/NAME@ID.')
@minLength(8)
param subjectPrefix string

@description('Name of the environment on GitHub whose approval guards this deployment.')
@minLength(1)
param githubEnvironment string

var groupScope = resourceGroup().id
// Names of roles are unique in the whole tenant, where another subscription may have a group of this name.
var roleSuffix = '${resourceGroup().name}, ${take(uniqueString(groupScope), 6)}'
var contributor = 'b24988ac-6180-42a0-ab88-20f7382dd24c'
var accessAdministrator = 'f58310d9-a9f6-439a-9e8d-f62e7b41a168'

// The roles that main.bicep gives away; the deploying identity can give no other, least of all its own.
var assignableRoles = [
  'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  '090c5cfd-751d-490a-894a-3ce6f1109419'
  '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  '516239f1-63e1-4d78-a4de-a74fb236a071'
  '5ae67dd6-50cb-40e7-96ff-dc2bfa4b606b'
  '4633458b-17de-408a-b874-0445c86b69e6'
  'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  'a4417e6f-fecd-4de8-b567-7b0420556985'
  '3913510d-42f4-4e42-8a64-420c390055eb'
  'de139f84-1756-47ae-9be6-808fbbe84772'
]
// And the one made below, which main.bicep gives on the switch job.
var operationsStart = guid(groupScope, 'operations-start')
var givenRoles = concat(assignableRoles, [operationsStart])
var roleSet = '{${join(givenRoles, ', ')}}'
var onlyGivesThese = '((!(ActionMatches{\'Microsoft.Authorization/roleAssignments/write\'})) OR (@Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals ${roleSet}))'
var onlyTakesThese = '((!(ActionMatches{\'Microsoft.Authorization/roleAssignments/delete\'})) OR (@Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals ${roleSet}))'

resource deploy 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-pipeline-deploy'
  location: location
  tags: tags
}

resource deployFromGitHub 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = {
  parent: deploy
  name: 'github-environment'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: '${subjectPrefix}:environment:${githubEnvironment}'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

resource operate 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-pipeline-switch'
  location: location
  tags: tags
}

resource operateFromGitHub 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = {
  parent: operate
  name: 'github-switch-environment'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: '${subjectPrefix}:environment:${githubEnvironment}-switch'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

resource preview 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-pipeline-preview'
  location: location
  tags: tags
}

resource previewFromGitHub 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2024-11-30' = {
  parent: preview
  name: 'github-pull-request'
  properties: {
    issuer: 'https://token.actions.githubusercontent.com'
    subject: '${subjectPrefix}:pull_request'
    audiences: [
      'api://AzureADTokenExchange'
    ]
  }
}

// Reads what is there and asks what a deployment would change; it can change nothing and read no secret.
resource previewRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(groupScope, 'deployment-preview')
  properties: {
    roleName: 'Deployment preview (${roleSuffix})'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
          '*/read'
          'Microsoft.Resources/deployments/whatIf/action'
          'Microsoft.Resources/deployments/validate/action'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: [
      groupScope
    ]
  }
}

resource previewLooks 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(groupScope, preview.id, 'deployment-preview')
  properties: {
    roleDefinitionId: previewRole.id
    principalId: preview.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

// Finds the jobs and sees how they ended.
resource lookRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(groupScope, 'operations-look')
  properties: {
    roleName: 'Operations look (${roleSuffix})'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
          'Microsoft.App/jobs/read'
          'Microsoft.App/jobs/*/read'
          'Microsoft.Resources/subscriptions/resourceGroups/read'
          'Microsoft.Resources/subscriptions/resourceGroups/resources/read'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: [
      groupScope
    ]
  }
}

// Starts one job, on which main.bicep gives it: that job's identity is all that the role is worth.
resource startRole 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: operationsStart
  properties: {
    roleName: 'Operations start (${roleSuffix})'
    type: 'CustomRole'
    permissions: [
      {
        actions: [
          'Microsoft.App/jobs/start/action'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
    assignableScopes: [
      groupScope
    ]
  }
}

resource operateLooks 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(groupScope, operate.id, 'operations-look')
  properties: {
    roleDefinitionId: lookRole.id
    principalId: operate.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource deployContributes 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(groupScope, deploy.id, contributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', contributor)
    principalId: deploy.properties.principalId
    principalType: 'ServicePrincipal'
  }
}

resource deployGivesRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(groupScope, deploy.id, accessAdministrator)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', accessAdministrator)
    principalId: deploy.properties.principalId
    principalType: 'ServicePrincipal'
    conditionVersion: '2.0'
    condition: '${onlyGivesThese} AND ${onlyTakesThese}'
  }
}

output deployClientId string = deploy.properties.clientId
output previewClientId string = preview.properties.clientId
output switchClientId string = operate.properties.clientId
