// The workbook on top of the workspace; its text is workbook.json.

import { tagSet } from '../types.bicep'

@description('Region of the workbook.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Title in the portal.')
@minLength(1)
param title string

@description('Workspace the queries run on.')
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, 'video-feed-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: title
    category: 'workbook'
    version: 'Notebook/1.0'
    sourceId: toLower(workspaceId)
    serializedData: loadTextContent('../workbook.json')
  }
}
