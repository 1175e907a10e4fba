// The one door from the internet: an Application Gateway with a web application firewall, in front of the app's
// private endpoint. It limits rates, and lets nothing through to the debug endpoints or the host's own.

import { tagSet } from '../types.bicep'

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

resource firewall 'Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies@2025-05-01' = {
  name: 'waf-${nameSuffix}'
  location: location
  tags: tags
  properties: {
    policySettings: {
      state: 'Enabled'
      mode: 'Prevention'
      requestBodyCheck: true
      // The rules look at this much, which is more than an event batch or a call of the CMS may have, and at the beginning
      // of an import. How large a body may be depends on the endpoint: the app says 413.
      requestBodyInspectLimitInKB: 2000
      requestBodyEnforcement: false
      fileUploadEnforcement: false
      fileUploadLimitInMb: 100
      // What identifies a person or opens a door never reaches a log.
      logScrubbing: {
        state: 'Enabled'
        // Selectors are case-sensitive, and HTTP/2 sends names in lower case.
        scrubbingRules: [
          ...map(
            [
              'X-User'
              'x-user'
              'X-User-Token'
              'x-user-token'
              'X-Api-Key'
              'x-api-key'
            ],
            header => {
              state: 'Enabled'
              matchVariable: 'RequestHeaderNames'
              selectorMatchOperator: 'Equals'
              selector: header
            }
          )
          {
            state: 'Enabled'
            matchVariable: 'RequestIPAddress'
            selectorMatchOperator: 'EqualsAny'
          }
        ]
      }
    }
    customRules: [
      {
        name: 'BlockDebugAndHost'
        priority: 1
        state: 'Enabled'
        ruleType: 'MatchRule'
        action: 'Block'
        matchConditions: [
          {
            matchVariables: [
              {
                variableName: 'RequestUri'
              }
            ]
            operator: 'Regex'
            matchValues: [
              '^[^?]*/(debug|admin|runtime)(/|[?]|$)'
            ]
            transforms: [
              'UrlDecode'
              'Lowercase'
            ]
          }
        ]
      }
      {
        name: 'BlockUnknownPaths'
        priority: 2
        state: 'Enabled'
        ruleType: 'MatchRule'
        action: 'Block'
        matchConditions: [
          {
            matchVariables: [
              {
                variableName: 'RequestUri'
              }
            ]
            operator: 'Regex'
            negationConditon: true
            matchValues: [
              '^/(v1/|studio(/|[?]|$)|health([?]|$)|ready([?]|$)|openapi[.]json([?]|$)|docs([?]|$))'
            ]
            transforms: [
              'UrlDecode'
              'Lowercase'
            ]
          }
        ]
      }
      {
        name: 'LimitCmsAndPrivacy'
        priority: 10
        state: 'Enabled'
        ruleType: 'RateLimitRule'
        rateLimitDuration: 'OneMin'
        rateLimitThreshold: cmsRequestsPerMinutePerAddress
        action: 'Block'
        groupByUserSession: [
          {
            groupByVariables: [
              {
                variableName: 'ClientAddr'
              }
            ]
          }
        ]
        matchConditions: [
          {
            matchVariables: [
              {
                variableName: 'RequestUri'
              }
            ]
            operator: 'Regex'
            matchValues: [
              '^/(v1/(cms|privacy)/|studio|ready)'
            ]
            transforms: [
              'UrlDecode'
              'Lowercase'
            ]
          }
        ]
      }
      {
        name: 'LimitEverything'
        priority: 20
        state: 'Enabled'
        ruleType: 'RateLimitRule'
        rateLimitDuration: 'OneMin'
        rateLimitThreshold: requestsPerMinutePerAddress
        action: 'Block'
        groupByUserSession: [
          {
            groupByVariables: [
              {
                variableName: 'ClientAddr'
              }
            ]
          }
        ]
        matchConditions: [
          {
            matchVariables: [
              {
                variableName: 'RequestUri'
              }
            ]
            operator: 'BeginsWith'
            matchValues: [
              '/'
            ]
          }
        ]
      }
    ]
    managedRules: {
      managedRuleSets: [
        {
          ruleSetType: 'Microsoft_DefaultRuleSet'
          ruleSetVersion: '2.1'
          // A request without a User-Agent or with an empty one: apps send what they like, and each would be a line.
          ruleGroupOverrides: [
            {
              ruleGroupName: 'PROTOCOL-ENFORCEMENT'
              rules: [
                {
                  ruleId: '920300'
                  state: 'Disabled'
                }
                {
                  ruleId: '920320'
                  state: 'Disabled'
                }
              ]
            }
          ]
        }
        {
          ruleSetType: 'Microsoft_BotManagerRuleSet'
          ruleSetVersion: '1.1'
          // SDKs of phones are the clients here: a line for each request would use up the daily cap of telemetry.
          ruleGroupOverrides: [
            {
              ruleGroupName: 'UnknownBots'
              rules: [
                {
                  ruleId: '300300'
                  state: 'Disabled'
                }
                {
                  ruleId: '300700'
                  state: 'Disabled'
                }
              ]
            }
          ]
        }
      ]
      // Opaque and authenticated by the app; their random letters must not look like an attack.
      exclusions: [
        {
          matchVariable: 'RequestArgNames'
          selectorMatchOperator: 'Equals'
          selector: 'cursor'
        }
        {
          matchVariable: 'RequestHeaderNames'
          selectorMatchOperator: 'Equals'
          selector: 'X-User-Token'
        }
        {
          matchVariable: 'RequestHeaderNames'
          selectorMatchOperator: 'Equals'
          selector: 'X-Api-Key'
        }
      ]
    }
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
      id: firewall.id
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
    requestRoutingRules: [
      {
        name: 'app'
        properties: {
          ruleType: 'Basic'
          priority: 100
          httpListener: {
            id: '${gatewayId}/httpListeners/https'
          }
          backendAddressPool: {
            id: '${gatewayId}/backendAddressPools/app'
          }
          backendHttpSettings: {
            id: '${gatewayId}/backendHttpSettingsCollection/https'
          }
        }
      }
    ]
  }
}
