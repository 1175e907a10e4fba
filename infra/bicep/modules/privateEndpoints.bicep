// Private endpoints, one after another: the network refuses several changes at once.

@description('Region of the endpoints.')
param location string

@description('Tags of every resource.')
param tags object

@description('End of every name: prefix and environment.')
@minLength(3)
param nameSuffix string

@description('Subnet the endpoints stand in.')
param subnetId string

@description('What to reach: a list of { name, targetId, groupId, zoneNames }.')
@minLength(1)
param endpoints array

@batchSize(1)
resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-05-01' = [
  for endpoint in endpoints: {
    name: 'pe-${nameSuffix}-${endpoint.name}'
    location: location
    tags: tags
    properties: {
      subnet: {
        id: subnetId
      }
      customNetworkInterfaceName: 'nic-${nameSuffix}-${endpoint.name}'
      privateLinkServiceConnections: [
        {
          name: endpoint.name
          properties: {
            privateLinkServiceId: endpoint.targetId
            groupIds: [
              endpoint.groupId
            ]
          }
        }
      ]
    }
  }
]

@batchSize(1)
resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-05-01' = [
  for (endpoint, index) in endpoints: {
    parent: privateEndpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        for zoneName in endpoint.zoneNames: {
          name: replace(zoneName, '.', '-')
          properties: {
            privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zoneName)
          }
        }
      ]
    }
  }
]
