import type { Config } from '../config/config.ts'
import { GatewayAuthorizer } from '../gateway/authorize.ts'
import { REQUIRED_SCOPE } from '../gateway/headers.ts'
import { IssuedTokens } from '../tokens/issued-tokens.ts'
import { TokenReader } from '../tokens/token-reader.ts'
import type { AuthenticationParts } from './authentication.ts'
import type { DirectoryParts } from './directory.ts'
import type { SigningParts } from './signing.ts'
import type { Storage } from './storage.ts'

export interface GatewayAuthorizerParts {
  authorizer: GatewayAuthorizer
  /** The cache of issued tokens, cleared on changes. */
  issued: IssuedTokens
}

/** The ext_authz check for gateways. */
export function buildGatewayAuthorizer(
  config: Config,
  parts: {
    storage: Storage
    directory: DirectoryParts
    signing: SigningParts
    authentication: AuthenticationParts
    afterPause: () => Promise<void> | undefined
  },
  issuer: string,
): GatewayAuthorizerParts {
  const { time } = parts.storage
  const { keyStatuses, denyList } = parts.directory
  const { signingKeys, ring, tokenIssuer } = parts.signing
  const { authenticator, deferred } = parts.authentication
  const audience = config.gatewayAudience
  const issued = new IssuedTokens({ isPublished: kid => signingKeys.ring.keys.some(key => key.kid === kid) })
  const authorizer = new GatewayAuthorizer({
    audience,
    model: config.gatewayModel,
    keyHeaders: config.gatewayKeyHeaders,
    authenticator,
    tokenIssuer,
    issued,
    exchanged: ({ keyId, at }) => deferred.count(keyId, 'exchanged', at),
    tokens: new TokenReader({ ring, issuer, audience, scope: REQUIRED_SCOPE }),
    keyStatusOf: holder => keyStatuses.of(holder),
    isDenied: claims => denyList.denies(claims),
    afterPause: parts.afterPause,
    now: () => time.now(),
  })
  return { authorizer, issued }
}
