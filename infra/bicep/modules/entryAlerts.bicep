// Alert rules of the gateway, from the same table.

import { alertTable, tagSet } from '../types.bicep'

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
param nameSuffix string

@description('Name of the gateway.')
@minLength(1)
param gatewayName string

@description('Action group that is told.')
param actionGroupId string

@description('Workspace for the log of the firewall.')
param workspaceId string

var rules alertTable = loadJsonContent('../alerts.json')

resource gateway 'Microsoft.Network/applicationGateways@2025-05-01' existing = {
  name: gatewayName
}

// Matches of the firewall only: one line for each request would cost more than the requests.
resource firewallLog 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: gateway
  name: 'workspace'
  properties: {
    workspaceId: workspaceId
    logs: [
      {
        category: 'ApplicationGatewayFirewallLog'
        enabled: true
      }
    ]
  }
}

module alerts 'platformAlerts.bicep' = {
  name: 'gateway-alerts'
  params: {
    tags: tags
    nameSuffix: nameSuffix
    targetId: gateway.id
    rules: rules.platform.entry
    actionGroupId: actionGroupId
  }
}
