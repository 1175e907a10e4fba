// Alert rules, from the table alerts.json: what the app measures, and what the platform does.

import { alertTable, tagSet } from '../types.bicep'

@description('Region of the query rules.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
param nameSuffix string

@description('Workspace the queries run on.')
param workspaceId string

@description('Action group that is told.')
param actionGroupId string

@description('Cosmos DB account.')
param cosmosId string

@description('Service Bus namespace.')
param serviceBusId string

@description('App Configuration store.')
param appConfigurationId string

var rules alertTable = loadJsonContent('../alerts.json')

resource queryAlerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for rule in rules.queries: {
    name: 'alert-${nameSuffix}-${rule.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: rule.title
      severity: rule.severity
      enabled: true
      scopes: [
        workspaceId
      ]
      windowSize: rule.window
      evaluationFrequency: rule.frequency
      // The tables appear with the first telemetry; the rule must be accepted before.
      skipQueryValidation: true
      autoMitigate: true
      criteria: {
        allOf: [
          {
            query: rule.query
            metricMeasureColumn: 'Value'
            timeAggregation: 'Maximum'
            operator: rule.operator
            threshold: rule.threshold
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      actions: {
        actionGroups: [
          actionGroupId
        ]
      }
    }
  }
]

module cosmosAlerts 'platformAlerts.bicep' = {
  name: 'cosmos-alerts'
  params: {
    tags: tags
    nameSuffix: nameSuffix
    targetId: cosmosId
    rules: rules.platform.cosmos
    actionGroupId: actionGroupId
  }
}

module serviceBusAlerts 'platformAlerts.bicep' = {
  name: 'service-bus-alerts'
  params: {
    tags: tags
    nameSuffix: nameSuffix
    targetId: serviceBusId
    rules: rules.platform.serviceBus
    actionGroupId: actionGroupId
  }
}

module appConfigurationAlerts 'platformAlerts.bicep' = {
  name: 'app-configuration-alerts'
  params: {
    tags: tags
    nameSuffix: nameSuffix
    targetId: appConfigurationId
    rules: rules.platform.appConfiguration
    actionGroupId: actionGroupId
  }
}
