// The one door from the internet: an Application Gateway with a web application firewall, in front of the app's
// private endpoint. It limits rates, and lets nothing through to the debug endpoints or the host's own.

import { firewallTable, tagSet } from '../types.bicep'

@description('Region of the gateway.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
@maxLength(40)
param nameSuffix string

@description('Subnet of the gateway.')
param subnetId string

@description('Public address of the gateway.')
param addressId string

@description('Identity that reads the certificate.')
param identityId string

@description('URI of the vault that keeps the certificate, with a slash at its end.')
param vaultUri string

@description('Name of the certificate in the vault; the newest version is taken, and a renewed one within four hours.')
@minLength(1)
param certificateName string

@description('Host name of the app; inside the network it leads to the private endpoint.')
param backendHost string

@description('Fewest instances of the gateway; each has ten capacity units and carries about 100 requests a second with the firewall on.')
@minValue(1)
@maxValue(125)
param minimumCapacity int

@description('Most instances of the gateway.')
@minValue(2)
@maxValue(125)
param maximumCapacity int

@description('Whether the firewall refuses what a rule matches, or only logs it.')
@allowed(['Detection', 'Prevention'])
param firewallMode string

@description('Requests a minute that one address may send; phones behind one carrier share an address.')
@minValue(100)
@maxValue(1000000)
param requestsPerMinutePerAddress int

@description('Requests a minute that one address may send to the CMS and the privacy endpoints.')
@minValue(10)
@maxValue(100000)
param cmsRequestsPerMinutePerAddress int

@description('Spread the gateway over availability zones.')
param zoneRedundant bool

var gatewayName = 'agw-${nameSuffix}'
var gatewayId = resourceId('Microsoft.Network/applicationGateways', gatewayName)

// The path that has no pattern is the last: its policy is that of the gateway.
var paths firewallTable.paths = loadJsonContent('../firewall.json').paths

module firewall 'firewall.bicep' = {
  name: 'firewall'
  params: {
    location: location
    tags: tags
    nameSuffix: nameSuffix
    mode: firewallMode
    requestsPerMinutePerAddress: requestsPerMinutePerAddress
    cmsRequestsPerMinutePerAddress: cmsRequestsPerMinutePerAddress
  }
}

resource gateway 'Microsoft.Network/applicationGateways@2025-05-01' = {
  name: gatewayName
  location: location
  tags: tags
  zones: zoneRedundant ? ['1', '2', '3'] : []
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: {
      '${identityId}': {}
    }
  }
  properties: {
    sku: {
      name: 'WAF_v2'
      tier: 'WAF_v2'
    }
    autoscaleConfiguration: {
      minCapacity: minimumCapacity
      maxCapacity: maximumCapacity
    }
    enableHttp2: true
    firewallPolicy: {
      id: last(firewall.outputs.policyIds)
    }
    sslPolicy: {
      policyType: 'Predefined'
      policyName: 'AppGwSslPolicy20220101S'
    }
    gatewayIPConfigurations: [
      {
        name: 'subnet'
        properties: {
          subnet: {
            id: subnetId
          }
        }
      }
    ]
    frontendIPConfigurations: [
      {
        name: 'public'
        properties: {
          publicIPAddress: {
            id: addressId
          }
        }
      }
    ]
    frontendPorts: [
      {
        name: 'https'
        properties: {
          port: 443
        }
      }
    ]
    sslCertificates: [
      {
        name: 'entry'
        properties: {
          keyVaultSecretId: '${vaultUri}secrets/${certificateName}'
        }
      }
    ]
    httpListeners: [
      {
        name: 'https'
        properties: {
          protocol: 'Https'
          frontendIPConfiguration: {
            id: '${gatewayId}/frontendIPConfigurations/public'
          }
          frontendPort: {
            id: '${gatewayId}/frontendPorts/https'
          }
          sslCertificate: {
            id: '${gatewayId}/sslCertificates/entry'
          }
        }
      }
    ]
    backendAddressPools: [
      {
        name: 'app'
        properties: {
          backendAddresses: [
            {
              fqdn: backendHost
            }
          ]
        }
      }
    ]
    probes: [
      {
        name: 'alive'
        properties: {
          protocol: 'Https'
          path: '/health'
          interval: 10
          timeout: 5
          unhealthyThreshold: 3
          pickHostNameFromBackendHttpSettings: true
          match: {
            statusCodes: ['200']
          }
        }
      }
    ]
    backendHttpSettingsCollection: [
      {
        name: 'https'
        properties: {
          protocol: 'Https'
          port: 443
          cookieBasedAffinity: 'Disabled'
          pickHostNameFromBackendAddress: true
          requestTimeout: 30
          connectionDraining: {
            enabled: true
            drainTimeoutInSec: 30
          }
          probe: {
            id: '${gatewayId}/probes/alive'
          }
        }
      }
    ]
    // Every path leads to the app; they differ in what the firewall asks of a request.
    urlPathMaps: [
      {
        name: 'app'
        properties: {
          defaultBackendAddressPool: {
            id: '${gatewayId}/backendAddressPools/app'
          }
          defaultBackendHttpSettings: {
            id: '${gatewayId}/backendHttpSettingsCollection/https'
          }
          pathRules: [
            for (path, index) in take(paths, length(paths) - 1): {
              name: path.name
              properties: {
                paths: path.patterns
                backendAddressPool: {
                  id: '${gatewayId}/backendAddressPools/app'
                }
                backendHttpSettings: {
                  id: '${gatewayId}/backendHttpSettingsCollection/https'
                }
                firewallPolicy: {
                  id: firewall.outputs.policyIds[index]
                }
              }
            }
          ]
        }
      }
    ]
    requestRoutingRules: [
      {
        name: 'app'
        properties: {
          ruleType: 'PathBasedRouting'
          priority: 100
          httpListener: {
            id: '${gatewayId}/httpListeners/https'
          }
          urlPathMap: {
            id: '${gatewayId}/urlPathMaps/app'
          }
        }
      }
    ]
  }
}
