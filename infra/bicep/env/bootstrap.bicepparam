// Step 1 of docs/first-deployment.md sets these variables: there is no default that could be deployed by mistake.
using '../bootstrap.bicep'

param location = readEnvironmentVariable('DEPLOY_LOCATION')
param resourceGroupName = readEnvironmentVariable('DEPLOY_GROUP')
param githubEnvironment = readEnvironmentVariable('DEPLOY_ENVIRONMENT')
param subjectPrefix = readEnvironmentVariable('GITHUB_SUBJECT_PREFIX')
