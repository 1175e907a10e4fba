// Run once by a person who owns the subscription: the resource group, and the identities the pipeline signs in
// with. None has a password: GitHub proves who asks.

targetScope = 'subscription'

import { tagSet } from 'types.bicep'

@description('Region of the resource group.')
param location string

@description('Name of the resource group.')
@minLength(1)
@maxLength(90)
param resourceGroupName string

@description('Start of the subject that GitHub signs for this repository, as step 1 reads it: repo:OWNER/NAME, or repo:OWNER@ID/NAME@ID for repositories made, renamed or moved since the middle of 2026.')
@minLength(8)
param subjectPrefix string

@description('Name of the environment on GitHub whose approval guards this deployment.')
@minLength(1)
param githubEnvironment string

@description('Tags of every resource.')
param tags tagSet = {}

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: resourceGroupName
  location: location
  tags: tags
}

module pipeline 'modules/pipeline.bicep' = {
  scope: group
  name: 'pipeline'
  params: {
    location: location
    tags: tags
    subjectPrefix: subjectPrefix
    githubEnvironment: githubEnvironment
  }
}

@description('Client id the pipeline deploys with: AZURE_CLIENT_ID of the environment.')
output deployClientId string = pipeline.outputs.deployClientId

@description('Client id pull requests look with: AZURE_PREVIEW_CLIENT_ID of the repository.')
output previewClientId string = pipeline.outputs.previewClientId

@description('Client id the switch is flipped with: AZURE_CLIENT_ID of the environment whose name ends with -switch.')
output switchClientId string = pipeline.outputs.switchClientId
