// Service Bus Premium: the topic of accepted events, its two subscriptions and their dead-letter queues.
// Everything equals `shared/adapters/bus/servicebus_layout.py`. Sessions and duplicate detection cannot be changed later.

import { tagSet } from '../types.bicep'

@description('Region of the namespace.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Name of the namespace; unique in Azure.')
@minLength(6)
@maxLength(50)
param namespaceName string

@description('Messaging units; each carries about 4 MB a second.')
@allowed([1, 2, 4, 8, 16])
param messagingUnits int

resource bus 'Microsoft.ServiceBus/namespaces@2026-01-01' = {
  name: namespaceName
  location: location
  tags: tags
  sku: {
    name: 'Premium'
    tier: 'Premium'
    capacity: messagingUnits
  }
  properties: {
    // One partition: a batch on the wire mixes sessions, which a partitioned topic refuses.
    premiumMessagingPartitions: 1
    // Premium always spreads over the zones of a region that has them.
    zoneRedundant: true
    publicNetworkAccess: 'Disabled'
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
  }
}

resource closed 'Microsoft.ServiceBus/namespaces/networkRuleSets@2026-01-01' = {
  parent: bus
  name: 'default'
  properties: {
    publicNetworkAccess: 'Disabled'
    defaultAction: 'Deny'
    trustedServiceAccessEnabled: false
    ipRules: []
    virtualNetworkRules: []
  }
}

resource topic 'Microsoft.ServiceBus/namespaces/topics@2026-01-01' = {
  parent: bus
  name: 'user-events'
  properties: {
    defaultMessageTimeToLive: 'P3D'
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'PT60M'
    enablePartitioning: false
    enableBatchedOperations: true
    supportOrdering: true
    maxMessageSizeInKilobytes: 1024
    maxSizeInMegabytes: 81920
  }
}

// A dead letter stays until somebody replays or purges it: these queues set no time to live.
resource deadSignals 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' = {
  parent: bus
  name: 'user-events-dead-signals'
  properties: {
    requiresSession: false
    requiresDuplicateDetection: false
    lockDuration: 'PT1M'
    maxDeliveryCount: 2147483647
    deadLetteringOnMessageExpiration: false
    maxMessageSizeInKilobytes: 1024
    maxSizeInMegabytes: 10240
  }
}

resource deadRollup 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' = {
  parent: bus
  name: 'user-events-dead-rollup'
  properties: {
    requiresSession: false
    requiresDuplicateDetection: false
    lockDuration: 'PT1M'
    maxDeliveryCount: 2147483647
    deadLetteringOnMessageExpiration: false
    maxMessageSizeInKilobytes: 1024
    maxSizeInMegabytes: 10240
  }
}

resource deadLearning 'Microsoft.ServiceBus/namespaces/queues@2026-01-01' = {
  parent: bus
  name: 'user-events-dead-learning'
  properties: {
    requiresSession: false
    requiresDuplicateDetection: false
    lockDuration: 'PT1M'
    maxDeliveryCount: 2147483647
    deadLetteringOnMessageExpiration: false
    maxMessageSizeInKilobytes: 1024
    maxSizeInMegabytes: 10240
  }
}

resource signals 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2026-01-01' = {
  parent: topic
  name: 'signals'
  properties: {
    requiresSession: false
    lockDuration: 'PT1M'
    maxDeliveryCount: 2000
    defaultMessageTimeToLive: 'P3D'
    deadLetteringOnMessageExpiration: true
    deadLetteringOnFilterEvaluationExceptions: false
    enableBatchedOperations: true
    forwardDeadLetteredMessagesTo: deadSignals.name
  }
}

resource rollup 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2026-01-01' = {
  parent: topic
  name: 'rollup'
  properties: {
    requiresSession: true
    lockDuration: 'PT1M'
    maxDeliveryCount: 2000
    defaultMessageTimeToLive: 'P3D'
    deadLetteringOnMessageExpiration: true
    deadLetteringOnFilterEvaluationExceptions: false
    enableBatchedOperations: true
    forwardDeadLetteredMessagesTo: deadRollup.name
  }
}

// The nights that ranking has to learn: one message a tenant.
resource learning 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2026-01-01' = {
  parent: topic
  name: 'learning'
  properties: {
    requiresSession: false
    lockDuration: 'PT1M'
    maxDeliveryCount: 2000
    defaultMessageTimeToLive: 'P3D'
    deadLetteringOnMessageExpiration: true
    deadLetteringOnFilterEvaluationExceptions: false
    enableBatchedOperations: true
    forwardDeadLetteredMessagesTo: deadLearning.name
  }
}

// `$Default` would let everything in beside any other rule; it is given the filter that a replay relies on.
resource signalsRule 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2026-01-01' = {
  parent: signals
  name: '$Default'
  properties: {
    filterType: 'SqlFilter'
    sqlFilter: {
      sqlExpression: 'NOT EXISTS(onlyFor) OR onlyFor = \'signals\''
    }
  }
}

resource rollupRule 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2026-01-01' = {
  parent: rollup
  name: '$Default'
  properties: {
    filterType: 'SqlFilter'
    sqlFilter: {
      sqlExpression: 'NOT EXISTS(onlyFor) OR onlyFor = \'rollup\''
    }
  }
}

resource learningRule 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2026-01-01' = {
  parent: learning
  name: '$Default'
  properties: {
    filterType: 'SqlFilter'
    sqlFilter: {
      sqlExpression: 'onlyFor = \'learning\''
    }
  }
}

output namespaceId string = bus.id
output hostName string = '${bus.name}.servicebus.windows.net'
