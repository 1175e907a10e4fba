// Four identities, so that each part may do only its own work. None of them has a key.

import { tagSet } from '../types.bicep'

@description('Region of the identities.')
param location string

@description('Tags of every resource.')
param tags tagSet

@description('End of every name: prefix and environment.')
@minLength(3)
param nameSuffix string

resource app 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${nameSuffix}-app'
  location: location
  tags: tags
}

resource entry 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${nameSuffix}-entry'
  location: location
  tags: tags
}

resource operations 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${nameSuffix}-operations'
  location: location
  tags: tags
}

resource switcher 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: 'id-${nameSuffix}-switch'
  location: location
  tags: tags
}

output appId string = app.id
output appClientId string = app.properties.clientId
output appPrincipalId string = app.properties.principalId
output entryId string = entry.id
output entryPrincipalId string = entry.properties.principalId
output operationsId string = operations.id
output operationsClientId string = operations.properties.clientId
output operationsPrincipalId string = operations.properties.principalId
output switchId string = switcher.id
output switchClientId string = switcher.properties.clientId
output switchPrincipalId string = switcher.properties.principalId
