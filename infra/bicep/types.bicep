// What is handed between the files, named once, so that the compiler checks it inside as well.

@export()
@description('Tags of a resource.')
type tagSet = {
  *: string
}

@export()
@description('A receiver of alerts, in the common alert schema.')
type webhook = {
  name: string
  serviceUri: string
}

@export()
@description('What a private endpoint leads to.')
type endpoint = {
  @description('Last part of the names of the endpoint and its network interface.')
  name: string
  targetId: string
  @description('The part of the resource that is reached, such as blob.')
  groupId: string
  zoneNames: string[]
}

@description('ISO 8601: the windows that Azure takes.')
type minutes = 'PT1M' | 'PT5M' | 'PT10M' | 'PT15M' | 'PT30M'

type severity = 0 | 1 | 2 | 3 | 4

@export()
@description('A rule on what the platform measures, as alerts.json has it.')
type platformRule = {
  name: string
  title: string
  severity: severity
  namespace: string
  metric: string
  aggregation: 'Average' | 'Count' | 'Maximum' | 'Minimum' | 'Total'
  threshold: int
  window: minutes
  frequency: minutes
  dimensions: {
    name: string
    operator: 'Include' | 'Exclude'
    values: string[]
  }[]
}

@export()
@description('A rule on what a query yields, as alerts.json has it.')
type queryRule = {
  name: string
  title: string
  severity: severity
  metrics: string[]
  query: string
  operator: 'GreaterThan' | 'LessThanOrEqual'
  threshold: int
  window: minutes
  frequency: minutes
}

@export()
@description('The table alerts.json.')
type alertTable = {
  queries: queryRule[]
  platform: {
    cosmos: platformRule[]
    serviceBus: platformRule[]
    appConfiguration: platformRule[]
    entry: platformRule[]
  }
}

@description('Ids of rules of the firewall with a space between them, by rule group.')
type ruleIds = {
  *: string
}

@export()
@description('The table firewall.json.')
type firewallTable = {
  @description('What is off for every path.')
  everywhere: ruleIds
  @description('What is off of the rules about bots.')
  bots: ruleIds
  paths: {
    name: string
    @description('What leads here; nothing for the last one, which takes the rest.')
    patterns: string[]
    inspectBodies: bool
    off: ruleIds
    @description('What only logs, and adds nothing to the score that refuses a request.')
    logged: ruleIds
    @description('Names of arguments in which people write what they like: no rule looks at their values.')
    free: string[]
  }[]
}
