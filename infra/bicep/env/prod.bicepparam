// Sized by infra/capacity.py for 600 requests a second on average and 3,000 at peak.
using '../main.bicep'

param namePrefix = 'vfeed'
param environmentName = 'prod'
param zoneRedundant = true
param deployEntry = bool(readEnvironmentVariable('DEPLOY_ENTRY', 'true'))
param entryMinimumCapacity = 4
param entryMaximumCapacity = 60
param maximumInstances = 100
param alwaysReadyHttp = 5
param alwaysReadyFold = 3
param userActivityMaxThroughput = 54000
param contentMaxThroughput = 4000
param messagingUnits = 8
param telemetryDailyCapGb = 10
param alertEmails = [
  readEnvironmentVariable('ALERT_EMAIL', 'alerts@example.com')
]
