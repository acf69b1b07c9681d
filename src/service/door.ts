import { DOOR_SCOPE, Door } from '../gateway/decision.ts'
import { MintedTokens } from '../tokens/minted-tokens.ts'
import { TokenReader } from '../tokens/token-reader.ts'
import type { Parts } from './parts.ts'

/** The second door, with the tokens that it remembers for as long as nothing changes. */
export function buildDoor(parts: Parts): Door {
  const { config, issuer, signingKeys, ring, follower, standings, authenticator, deferred, time } = parts
  const audience = config.gatewayAudience
  const minted = new MintedTokens({ isPublished: kid => signingKeys.ring.keys.some(key => key.kid === kid) })
  follower.observe(() => minted.clear())
  return new Door({
    audience,
    model: config.gatewayModel,
    keyHeaders: config.gatewayKeyHeaders,
    authenticator,
    issuer: parts.tokenIssuer,
    minted,
    exchanged: ({ keyId, at }) => deferred.count(keyId, 'exchanged', at),
    tokens: new TokenReader({ ring, issuer, audience, scope: DOOR_SCOPE }),
    standingOf: holder => standings.of(holder),
    now: () => time.now(),
  })
}
