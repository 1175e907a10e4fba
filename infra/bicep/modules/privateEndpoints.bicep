// Private endpoints, one after another: the network refuses several changes at once.

import { endpoint, tagSet } from '../types.bicep'

@description('Region of the endpoints.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
param nameSuffix string

@description('Subnet the endpoints stand in.')
param subnetId string

@description('What to reach.')
@minLength(1)
param endpoints endpoint[]

@batchSize(1)
resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for target in endpoints: {
    name: 'pe-${nameSuffix}-${target.name}'
    location: location
    tags: tags
    properties: {
      subnet: {
        id: subnetId
      }
      customNetworkInterfaceName: 'nic-${nameSuffix}-${target.name}'
      privateLinkServiceConnections: [
        {
          name: target.name
          properties: {
            privateLinkServiceId: target.targetId
            groupIds: [
              target.groupId
            ]
          }
        }
      ]
    }
  }
]

@batchSize(1)
resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (target, index) in endpoints: {
    parent: privateEndpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        for zoneName in target.zoneNames: {
          name: replace(zoneName, '.', '-')
          properties: {
            privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zoneName)
          }
        }
      ]
    }
  }
]
