// Small and cheap: one zone, nothing stands ready, one messaging unit (Service Bus Premium is what private access asks for).
using '../main.bicep'

param namePrefix = 'vfeed'
param environmentName = 'dev'
param zoneRedundant = false
param deployEntry = bool(readEnvironmentVariable('DEPLOY_ENTRY', 'true'))
param entryMinimumCapacity = 1
param entryMaximumCapacity = 2
param maximumInstances = 40
param alwaysReadyHttp = 0
param alwaysReadyFold = 0
param userActivityMaxThroughput = 1000
param contentMaxThroughput = 1000
param messagingUnits = 1
param telemetryDailyCapGb = 1
param vaultRecoveryDays = 7
param alertEmails = [
  readEnvironmentVariable('ALERT_EMAIL', 'alerts@example.com')
]
