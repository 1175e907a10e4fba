// Where telemetry goes: a workspace with a daily cap, Application Insights on it, and the private link scope that is
// the only way in or out.

import { tagSet, webhook } from '../types.bicep'

@description('Region of the workspace.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
@maxLength(40)
param nameSuffix string

@description('Days telemetry is kept.')
@minValue(30)
@maxValue(90)
param retentionDays int

@description('Gigabytes a day after which the workspace stops taking telemetry.')
@minValue(1)
@maxValue(500)
param dailyCapGb int

@description('E-mail addresses that alerts go to.')
param alertEmails string[]

@description('Webhooks that alerts go to, in the common alert schema.')
param alertWebhooks webhook[]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-02-01' = {
  name: 'log-${nameSuffix}'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: retentionDays
    workspaceCapping: {
      dailyQuotaGb: dailyCapGb
    }
    publicNetworkAccessForIngestion: 'Disabled'
    publicNetworkAccessForQuery: 'Disabled'
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
      immediatePurgeDataOn30Days: true
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${nameSuffix}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    IngestionMode: 'LogAnalytics'
    DisableIpMasking: false
    DisableLocalAuth: true
    publicNetworkAccessForIngestion: 'Disabled'
    publicNetworkAccessForQuery: 'Disabled'
  }
}

resource linkScope 'Microsoft.Insights/privateLinkScopes@2021-09-01' = {
  name: 'ampls-${nameSuffix}'
  location: 'global'
  tags: tags
  properties: {
    accessModeSettings: {
      ingestionAccessMode: 'PrivateOnly'
      queryAccessMode: 'PrivateOnly'
    }
  }
}

resource workspaceInScope 'Microsoft.Insights/privateLinkScopes/scopedResources@2021-09-01' = {
  parent: linkScope
  name: 'workspace'
  properties: {
    linkedResourceId: workspace.id
  }
}

// After the first: the scope refuses two changes at once.
resource insightsInScope 'Microsoft.Insights/privateLinkScopes/scopedResources@2021-09-01' = {
  parent: linkScope
  name: 'insights'
  properties: {
    linkedResourceId: insights.id
  }
  dependsOn: [
    workspaceInScope
  ]
}

// The workspace's own days do not reach the tables of Application Insights, which keep 90 unless told otherwise.
@batchSize(1)
resource tables 'Microsoft.OperationalInsights/workspaces/tables@2025-02-01' = [
  for table in [
    'AppRequests'
    'AppDependencies'
    'AppTraces'
    'AppMetrics'
    'AppExceptions'
  ]: {
    parent: workspace
    name: table
    properties: {
      retentionInDays: retentionDays
      totalRetentionInDays: retentionDays
    }
    dependsOn: [
      insights
    ]
  }
]

resource receivers 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${nameSuffix}'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'video-feed'
    enabled: true
    emailReceivers: [
      for (address, index) in alertEmails: {
        name: 'email-${index}'
        emailAddress: address
        useCommonAlertSchema: true
      }
    ]
    webhookReceivers: [
      for webhook in alertWebhooks: {
        name: webhook.name
        serviceUri: webhook.serviceUri
        useCommonAlertSchema: true
      }
    ]
  }
}

output workspaceId string = workspace.id
output insightsConnectionString string = insights.properties.ConnectionString
output linkScopeId string = linkScope.id
output actionGroupId string = receivers.id
