// The rules of the firewall: a policy for each kind of path, because what one must refuse another must let through.
//
//   imports    files of any size and media type, also compressed (920450): bodies are not inspected
//   events     batches, also compressed: bodies are not inspected, the app bounds and checks what it unpacks
//   cms        titles and links (931130) that people write: what takes ordinary text for an attack only logs
//   stories    what people write, and links (931130): what takes ordinary text for an attack only logs
//   search     what people look for: its value is not looked at, everything else is
//   feed       everything else, and every path that nobody named: all rules
//
// firewall.json has the paths and the rules that are off or only log; the first pattern that fits counts.

import { firewallTable, tagSet } from '../types.bicep'

@description('Region of the policies.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
@maxLength(40)
param nameSuffix string

@description('Refuse what a rule matches, or only log it.')
@allowed(['Detection', 'Prevention'])
param mode string

@description('Requests a minute that one address may send; phones behind one carrier share an address.')
@minValue(100)
@maxValue(1000000)
param requestsPerMinutePerAddress int

@description('Requests a minute that one address may send to the CMS and the privacy endpoints.')
@minValue(10)
@maxValue(100000)
param cmsRequestsPerMinutePerAddress int

var table firewallTable = loadJsonContent('../firewall.json')

// Each policy has all of them. An address is counted in each policy by itself.
var customRules = [
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
          '^/(v1/|studio(/|[?]|$)|health([?]|$)|ready([?]|$)|openapi[.]json([?]|$)|docs(/|[?]|$))'
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

// Tags, categories and names as people write them, which the app only compares with those of videos: `rock & roll; live`
// is no attack. feed/subsets.py has the kinds; a test holds this list to it.
var filters = map(['tag', 'category', 'creator', 'playlist', 'series', 'language'], kind => {
  matchVariable: 'RequestArgNames'
  selectorMatchOperator: 'Equals'
  selector: 'filter.${kind}'
})

// Opaque and authenticated by the app; their random letters must not look like an attack.
var opaque = [
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

// Phones send what they like (920300, 920320: no Accept, no User-Agent), and SDKs are the clients here (300300, 300700):
// a line for each request would use up the daily cap of telemetry. Media types (920420) are the app's to refuse: it takes
// more than the rule knows, and some libraries name one for a request without a body.
var overrides = map(
  table.paths,
  path =>
    concat(
      flatten(map(
        concat(items(table.everywhere), items(path.off)),
        rules =>
          map(split(rules.value, ' '), id => {
            group: rules.key
            rule: {
              ruleId: id
              state: 'Disabled'
            }
          })
      )),
      flatten(map(
        items(path.logged),
        rules =>
          map(split(rules.value, ' '), id => {
            group: rules.key
            rule: {
              ruleId: id
              state: 'Enabled'
              action: 'Log'
            }
          })
      ))
    )
)

resource policies 'Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies@2025-05-01' = [
  for (path, index) in table.paths: {
    name: 'waf-${nameSuffix}-${path.name}'
    location: location
    tags: tags
    properties: {
      policySettings: {
        state: 'Enabled'
        mode: mode
        requestBodyCheck: path.inspectBodies
        // The rules look at this much, which is more than a call of the CMS may have. How large a body may be depends on
        // the endpoint: the app says 413.
        ...(path.inspectBodies ? { requestBodyInspectLimitInKB: 2000 } : {})
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
      customRules: customRules
      managedRules: {
        managedRuleSets: [
          {
            ruleSetType: 'Microsoft_DefaultRuleSet'
            ruleSetVersion: '2.1'
            ruleGroupOverrides: map(items(groupBy(overrides[index], each => each.group)), group => {
              ruleGroupName: group.key
              rules: map(group.value, each => each.rule)
            })
          }
          {
            ruleSetType: 'Microsoft_BotManagerRuleSet'
            ruleSetVersion: '1.1'
            ruleGroupOverrides: map(items(table.bots), rules => {
              ruleGroupName: rules.key
              rules: map(split(rules.value, ' '), id => {
                ruleId: id
                state: 'Disabled'
              })
            })
          }
        ]
        exclusions: concat(
          opaque,
          filters,
          map(path.free, name => {
            matchVariable: 'RequestArgNames'
            selectorMatchOperator: 'Equals'
            selector: name
          })
        )
      }
    }
  }
]

@description('The policy of each path, in the order of the table.')
output policyIds string[] = [for (path, index) in table.paths: policies[index].id]
