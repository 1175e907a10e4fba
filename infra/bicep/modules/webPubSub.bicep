// Nudges to phones: "something is new", and no more. Clients connect from anywhere, with a token for themselves that only lets them
// listen; everything else (sending, making tokens) is asked for through the private endpoint, by the managed identity.

import { tagSet } from '../types.bicep'

@description('Region of the service.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('Name of the service; unique in Azure.')
@minLength(3)
@maxLength(63)
param serviceName string

@description('Units; each holds 1,000 connections.')
@minValue(1)
@maxValue(100)
param units int = 1

@description('Principal of the app, which sends and makes tokens.')
param appPrincipalId string

@description('Resource id of the identity of the app; names its assignment.')
param appIdentityId string

// Built-in role, the same in every tenant.
var webPubSubServiceOwner = '12cf5a90-567b-43ae-8102-96cf46c7d9b4'

resource service 'Microsoft.SignalRService/webPubSub@2024-03-01' = {
  name: serviceName
  location: location
  tags: tags
  sku: {
    name: 'Standard_S1'
    tier: 'Standard'
    capacity: units
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    disableLocalAuth: true
    disableAadAuth: false
    // The door is for client connections alone.
    publicNetworkAccess: 'Enabled'
    networkACLs: {
      defaultAction: 'Allow'
      publicNetwork: {
        deny: ['ServerConnection', 'RESTAPI', 'Trace']
      }
    }
    tls: {
      clientCertEnabled: false
    }
  }
}

resource stories 'Microsoft.SignalRService/webPubSub/hubs@2024-03-01' = {
  parent: service
  name: 'stories'
  properties: {
    anonymousConnectPolicy: 'deny'
    eventHandlers: []
  }
}

resource appNudges 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: service
  name: guid(service.id, appIdentityId, webPubSubServiceOwner)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', webPubSubServiceOwner)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

output serviceId string = service.id
output endpoint string = 'https://${service.properties.hostName}'
