import { systemClock } from '../../system/clock.ts'
import { ACCESS_TOKEN_TYPE } from '../../tokens/claims.ts'
import type { decodeJwt } from '../jwt.ts'
import { moment } from '../output.ts'

/** A token that is only decoded: anyone may have written it. */
type Decoded = ReturnType<typeof decodeJwt>

/**
 * What is wrong with a token that does not verify, with the value that the token has and the one that was expected.
 * A token of another issuer is named as such first: its kid and its signature cannot match either.
 *
 * @param error of jose's verification
 */
export function tokenFault(
  error: Error & { code?: string; claim?: string },
  { header, claims }: Decoded,
  expected: { issuer: string; audience: string },
): string {
  const { iss, aud, exp } = claims
  if (iss !== expected.issuer) return `its issuer is ${quoted(iss)}, and not "${expected.issuer}"`
  if (error.code === 'ERR_JWKS_NO_MATCHING_KEY')
    return `no published key has its kid ${quoted(header.kid)} and its algorithm ${quoted(header.alg)}`
  if (error.code === 'ERR_JWS_SIGNATURE_VERIFICATION_FAILED')
    return `its signature does not match the published key ${quoted(header.kid)}`
  if (error.code === 'ERR_JWT_EXPIRED') return `it expired ${since(exp)}`
  if (error.claim === 'aud') return `its audience is ${quoted(aud)}, and not "${expected.audience}"`
  if (error.claim === 'typ') return `its typ is ${quoted(header.typ)}, and not "${ACCESS_TOKEN_TYPE}"`
  return error.message
}

/** `issuer "…", audience "…", kid "…"`, and the expiry: what a token that is only decoded says of itself. */
export function tokenSays({ header, claims }: Decoded): string {
  const { iss, aud, exp } = claims
  const isOver = typeof exp === 'number' && exp * 1000 <= systemClock.wallMs()
  const expiry = typeof exp === 'number' ? [isOver ? `expired ${since(exp)}` : `expires ${at(exp)}`] : []
  return [`issuer ${quoted(iss)}`, `audience ${quoted(aud)}`, `kid ${quoted(header.kid)}`, ...expiry].join(
    ', ',
  )
}

const quoted = (value: unknown): string => (value === undefined ? 'missing' : JSON.stringify(value))

const since = (epochSeconds: unknown): string =>
  typeof epochSeconds === 'number'
    ? `${at(epochSeconds)}, ${Math.round(systemClock.wallMs() / 1000 - epochSeconds)} s ago by the clock of this machine`
    : 'at no valid time'

function at(epochSeconds: number): string {
  const date = new Date(epochSeconds * 1000)
  return Number.isNaN(date.getTime()) ? 'at no valid time' : moment(date.toISOString())
}
