// The virtual network: one subnet per purpose, each with its own rules. Only the subnet `entry` takes traffic from
// the internet; only `operations` may call out to it.

import { tagSet } from '../types.bicep'

@description('Region of the network.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
param nameSuffix string

@description('Address space of the network in CIDR notation. It must not overlap with networks it is peered with.')
@minLength(9)
param addressSpace string

@description('Addresses of the gateway: a /24 inside the address space.')
@minLength(9)
param entryPrefix string

@description('Addresses of the instances of the app: a /26, which serves a thousand of them twice over.')
@minLength(9)
param functionsPrefix string

@description('Addresses of the private endpoints: a /26.')
@minLength(9)
param endpointsPrefix string

@description('Addresses of the operations job: a /26.')
@minLength(9)
param operationsPrefix string

@description('First label of the public DNS name of the entry; must be free in the region.')
@minLength(3)
@maxLength(63)
param entryDnsLabel string

@description('Resource id of a DDoS Network Protection plan; empty for none.')
@maxLength(300)
param ddosProtectionPlanId string

@description('Spread the public address over three availability zones.')
param zoneRedundant bool

var denyInbound = {
  name: 'deny-everything-else-in'
  properties: {
    priority: 4096
    direction: 'Inbound'
    access: 'Deny'
    protocol: '*'
    sourceAddressPrefix: '*'
    sourcePortRange: '*'
    destinationAddressPrefix: '*'
    destinationPortRange: '*'
  }
}

var denyOutbound = {
  name: 'deny-everything-else-out'
  properties: {
    priority: 4096
    direction: 'Outbound'
    access: 'Deny'
    protocol: '*'
    sourceAddressPrefix: '*'
    sourcePortRange: '*'
    destinationAddressPrefix: '*'
    destinationPortRange: '*'
  }
}

resource entryRules 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: 'nsg-${nameSuffix}-entry'
  location: location
  tags: tags
  properties: {
    securityRules: [
      // The one door from the internet.
      {
        name: 'clients-in'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'Internet'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '443'
        }
      }
      // Application Gateway v2 is not provisioned without it; the ports are protected by certificates.
      {
        name: 'gateway-control-in'
        properties: {
          priority: 110
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'GatewayManager'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '65200-65535'
        }
      }
      {
        name: 'load-balancer-in'
        properties: {
          priority: 120
          direction: 'Inbound'
          access: 'Allow'
          protocol: '*'
          sourceAddressPrefix: 'AzureLoadBalancer'
          sourcePortRange: '*'
          destinationAddressPrefix: '*'
          destinationPortRange: '*'
        }
      }
      denyInbound
    ]
  }
}

resource functionsRules 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: 'nsg-${nameSuffix}-functions'
  location: location
  tags: tags
  properties: {
    securityRules: [
      denyInbound
      // HTTPS and AMQP to the private endpoints. From any source: instances of a network-isolated app were seen to send
      // from addresses outside the subnet's own prefix, and the rules stand on this subnet alone.
      {
        name: 'private-endpoints-out'
        properties: {
          priority: 100
          direction: 'Outbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: endpointsPrefix
          destinationPortRanges: [
            '443'
            '5671'
            '5672'
          ]
        }
      }
      // Tokens of the managed identity.
      {
        name: 'sign-in-out'
        properties: {
          priority: 110
          direction: 'Outbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: 'AzureActiveDirectory'
          destinationPortRange: '443'
        }
      }
      // Azure's own resolver, over UDP and TCP.
      {
        name: 'names-out'
        properties: {
          priority: 120
          direction: 'Outbound'
          access: 'Allow'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '168.63.129.16'
          destinationPortRange: '53'
        }
      }
      denyOutbound
    ]
  }
}

resource endpointsRules 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: 'nsg-${nameSuffix}-endpoints'
  location: location
  tags: tags
  properties: {
    securityRules: [
      {
        name: 'network-in'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'VirtualNetwork'
          sourcePortRange: '*'
          destinationAddressPrefix: endpointsPrefix
          destinationPortRanges: [
            '443'
            '5671'
            '5672'
          ]
        }
      }
      denyInbound
      denyOutbound
    ]
  }
}

resource operationsRules 'Microsoft.Network/networkSecurityGroups@2025-05-01' = {
  name: 'nsg-${nameSuffix}-operations'
  location: location
  tags: tags
  properties: {
    securityRules: [
      // Nodes of the job environment speak to each other.
      {
        name: 'own-subnet-in'
        properties: {
          priority: 100
          direction: 'Inbound'
          access: 'Allow'
          protocol: '*'
          sourceAddressPrefix: operationsPrefix
          sourcePortRange: '*'
          destinationAddressPrefix: operationsPrefix
          destinationPortRange: '*'
        }
      }
      {
        name: 'load-balancer-in'
        properties: {
          priority: 110
          direction: 'Inbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: 'AzureLoadBalancer'
          sourcePortRange: '*'
          destinationAddressPrefix: operationsPrefix
          destinationPortRange: '30000-32767'
        }
      }
      denyInbound
      {
        name: 'network-out'
        properties: {
          priority: 100
          direction: 'Outbound'
          access: 'Allow'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: 'VirtualNetwork'
          destinationPortRange: '*'
        }
      }
      // The container image, sign-in, and the package from GitHub.
      {
        name: 'https-out'
        properties: {
          priority: 110
          direction: 'Outbound'
          access: 'Allow'
          protocol: 'Tcp'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: 'Internet'
          destinationPortRange: '443'
        }
      }
      {
        name: 'names-out'
        properties: {
          priority: 120
          direction: 'Outbound'
          access: 'Allow'
          protocol: '*'
          sourceAddressPrefix: '*'
          sourcePortRange: '*'
          destinationAddressPrefix: '168.63.129.16'
          destinationPortRange: '53'
        }
      }
      denyOutbound
    ]
  }
}

resource outboundAddress 'Microsoft.Network/publicIPAddresses@2025-05-01' = {
  name: 'pip-${nameSuffix}-outbound'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
    publicIPAddressVersion: 'IPv4'
  }
}

// Outbound only: a NAT gateway takes no connection from outside. It stands in one zone: the kind that spans zones cannot
// be attached to delegated subnets.
resource outbound 'Microsoft.Network/natGateways@2025-05-01' = {
  name: 'ng-${nameSuffix}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    idleTimeoutInMinutes: 4
    publicIpAddresses: [
      {
        id: outboundAddress.id
      }
    ]
  }
}

resource entryAddress 'Microsoft.Network/publicIPAddresses@2025-05-01' = {
  name: 'pip-${nameSuffix}-entry'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  zones: zoneRedundant ? ['1', '2', '3'] : []
  properties: {
    publicIPAllocationMethod: 'Static'
    publicIPAddressVersion: 'IPv4'
    dnsSettings: {
      domainNameLabel: entryDnsLabel
    }
  }
}

resource network 'Microsoft.Network/virtualNetworks@2025-05-01' = {
  name: 'vnet-${nameSuffix}'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressSpace
      ]
    }
    enableDdosProtection: !empty(ddosProtectionPlanId)
    ddosProtectionPlan: empty(ddosProtectionPlanId)
      ? null
      : {
          id: ddosProtectionPlanId
        }
    // Subnets stand inside the network: declared apart, a second deployment would try to remove them.
    subnets: [
      {
        name: 'entry'
        properties: {
          addressPrefix: entryPrefix
          networkSecurityGroup: {
            id: entryRules.id
          }
        }
      }
      {
        name: 'functions'
        properties: {
          addressPrefix: functionsPrefix
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: functionsRules.id
          }
          natGateway: {
            id: outbound.id
          }
          delegations: [
            {
              name: 'functions'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: endpointsPrefix
          defaultOutboundAccess: false
          privateEndpointNetworkPolicies: 'NetworkSecurityGroupEnabled'
          networkSecurityGroup: {
            id: endpointsRules.id
          }
        }
      }
      {
        name: 'operations'
        properties: {
          addressPrefix: operationsPrefix
          defaultOutboundAccess: false
          networkSecurityGroup: {
            id: operationsRules.id
          }
          natGateway: {
            id: outbound.id
          }
          delegations: [
            {
              name: 'operations'
              properties: {
                serviceName: 'Microsoft.App/environments'
              }
            }
          ]
        }
      }
    ]
  }
}

output networkId string = network.id
output entrySubnetId string = '${network.id}/subnets/entry'
output functionsSubnetId string = '${network.id}/subnets/functions'
output endpointsSubnetId string = '${network.id}/subnets/endpoints'
output operationsSubnetId string = '${network.id}/subnets/operations'
output entryAddressId string = entryAddress.id
output entryHost string = entryAddress.properties.dnsSettings.fqdn
