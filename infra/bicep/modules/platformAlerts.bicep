// Alert rules on what the platform measures of one resource.

import { platformRule, tagSet } from '../types.bicep'

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
param nameSuffix string

@description('Resource that is watched.')
param targetId string

@description('Rules, as they stand in alerts.json.')
param rules platformRule[]

@description('Action group that is told.')
param actionGroupId string

resource alerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for rule in rules: {
    name: 'alert-${nameSuffix}-${rule.name}'
    location: 'global'
    tags: tags
    properties: {
      severity: rule.severity
      enabled: true
      scopes: [
        targetId
      ]
      windowSize: rule.window
      evaluationFrequency: rule.frequency
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            name: rule.name
            criterionType: 'StaticThresholdCriterion'
            metricNamespace: rule.namespace
            metricName: rule.metric
            timeAggregation: rule.aggregation
            operator: 'GreaterThan'
            threshold: rule.threshold
            dimensions: rule.dimensions
          }
        ]
      }
      actions: [
        {
          actionGroupId: actionGroupId
        }
      ]
    }
  }
]
