// Sized by infra/capacity.py for 600 requests a second on average and 3,000 at peak.
using '../main.bicep'

param namePrefix = 'vfeed'
param environmentName = 'prod'
param zoneRedundant = true
param deployEntry = bool(readEnvironmentVariable('DEPLOY_ENTRY', 'true'))
param entryMinimumCapacity = 4
param entryMaximumCapacity = 60
param maximumInstances = 100
param alwaysReadyHttp = 4
param alwaysReadyFold = 2
param userActivityMaxThroughput = 100000
param contentMaxThroughput = 10000
param messagingUnits = 4
param telemetryDailyCapGb = 10
param alertEmails = [
  readEnvironmentVariable('ALERT_EMAIL', 'alerts@example.com')
]
