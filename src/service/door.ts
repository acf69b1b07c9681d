import type { Config } from '../config/config.ts'
import { DOOR_SCOPE, Door } from '../gateway/decision.ts'
import { MintedTokens } from '../tokens/minted-tokens.ts'
import { TokenReader } from '../tokens/token-reader.ts'
import type { AuthenticationParts } from './authentication.ts'
import type { DirectoryParts } from './directory.ts'
import type { SigningParts } from './signing.ts'
import type { Storage } from './storage.ts'

export interface DoorParts {
  door: Door
  /** The tokens that it issued and uses again, until something changes. */
  minted: MintedTokens
}

/** The ext_authz check for gateways. */
export function buildDoor(
  config: Config,
  { time }: Storage,
  { standings }: DirectoryParts,
  { signingKeys, ring, tokenIssuer }: SigningParts,
  { authenticator, deferred }: AuthenticationParts,
  issuer: string,
): DoorParts {
  const audience = config.gatewayAudience
  const minted = new MintedTokens({ isPublished: kid => signingKeys.ring.keys.some(key => key.kid === kid) })
  const door = new Door({
    audience,
    model: config.gatewayModel,
    keyHeaders: config.gatewayKeyHeaders,
    authenticator,
    issuer: tokenIssuer,
    minted,
    exchanged: ({ keyId, at }) => deferred.count(keyId, 'exchanged', at),
    tokens: new TokenReader({ ring, issuer, audience, scope: DOOR_SCOPE }),
    standingOf: holder => standings.of(holder),
    now: () => time.now(),
  })
  return { door, minted }
}
