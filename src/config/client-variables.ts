/** Variables of the commands for administration and tokens, and of the repository's scripts: the service does not read them. */
const CLIENT_VARIABLES =
  /^MINTMARK_(URL|TOKEN|ADMIN_TOKEN|PUBLIC_URL|API_KEY|CONTEXT|YES|RETRY_SECONDS|XDS_TOKEN)(_FILE)?$|^MINTMARK_(CACHE|ENVOY|PYTHON|REQUIRE_\w+|DOCKER_\w+)$/

export const isClientVariable = (name: string): boolean => CLIENT_VARIABLES.test(name)
