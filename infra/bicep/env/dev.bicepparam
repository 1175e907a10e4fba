// Small and cheap: one zone, nothing stands ready, one messaging unit (Service Bus Premium is what private access asks for).
using '../main.bicep'

param namePrefix = 'vfeed'
param environmentName = 'dev'
param zoneRedundant = false
// A pipeline variable that nobody set arrives as an empty text, not as the default.
var deployEntrySet = readEnvironmentVariable('DEPLOY_ENTRY', '')
var recoverSet = readEnvironmentVariable('RECOVER', '')
var firewallModeSet = readEnvironmentVariable('FIREWALL_MODE', '')
var alertEmailSet = readEnvironmentVariable('ALERT_EMAIL', '')

param deployEntry = empty(deployEntrySet) || bool(deployEntrySet)
param recover = !empty(recoverSet) && bool(recoverSet)
// A new environment looks first at what the firewall would refuse; docs/first-deployment.md says when to let it.
param firewallMode = firewallModeSet == 'Prevention' ? 'Prevention' : 'Detection'
param entryMinimumCapacity = 1
param entryMaximumCapacity = 2
// Both doors of stories stand open here, to be tried; production opens them when it is decided.
param storiesDoors = true
param maximumInstances = 40
param alwaysReadyHttp = 0
param alwaysReadyFold = 0
param rollUpDrainers = 1
param alwaysReadyRollUp = 0
param userActivityMaxThroughput = 1000
param contentMaxThroughput = 1000
param messagingUnits = 1
param telemetryDailyCapGb = 1
param vaultRecoveryDays = 7
param alertEmails = [
  empty(alertEmailSet) ? 'alerts@example.com' : alertEmailSet
]
