// Sized by infra/capacity.py for 600 requests a second on average and 3,000 at peak.
using '../main.bicep'

param namePrefix = 'vfeed'
param environmentName = 'prod'
param zoneRedundant = true
// A pipeline variable that nobody set arrives as an empty text, not as the default.
var deployEntrySet = readEnvironmentVariable('DEPLOY_ENTRY', '')
var recoverSet = readEnvironmentVariable('RECOVER', '')
var alertEmailSet = readEnvironmentVariable('ALERT_EMAIL', '')

param deployEntry = empty(deployEntrySet) || bool(deployEntrySet)
param recover = !empty(recoverSet) && bool(recoverSet)
param firewallMode = 'Prevention'
param entryMinimumCapacity = 4
param entryMaximumCapacity = 60
param maximumInstances = 100
param alwaysReadyHttp = 5
param alwaysReadyFold = 3
param rollUpDrainers = 4
param alwaysReadyRollUp = 2
param userActivityMaxThroughput = 57000
param contentMaxThroughput = 4000
param messagingUnits = 2
param telemetryDailyCapGb = 10
param alertEmails = [
  empty(alertEmailSet) ? 'alerts@example.com' : alertEmailSet
]
