// Private DNS: inside the network every service name leads to its private endpoint.

import { tagSet } from '../types.bicep'

@description('Tags of every resource.')
param tags tagSet

@description('Network the zones answer in.')
param networkId string

@description('Names of the zones.')
@minLength(1)
param zoneNames string[]

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zoneName in zoneNames: {
    name: zoneName
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zoneName, index) in zoneNames: {
    parent: zones[index]
    name: 'network'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      // A name without an entry here is asked for outside: other accounts with private endpoints of their own stay reachable.
      resolutionPolicy: 'NxDomainRedirect'
      virtualNetwork: {
        id: networkId
      }
    }
  }
]
