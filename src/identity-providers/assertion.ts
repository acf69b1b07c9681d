import { isUtf8 } from 'node:buffer'
import type { ProviderKind } from './provider-kind.ts'

/**
 * identity-providers/ decides which key an assertion is for: a signed JWT of an identity provider (RFC 7519), checked as
 * RFC 8725 requires. This file parses it and checks everything but its issuer's rules and its signature.
 */
export interface Assertion {
  alg: string
  kid: string | undefined
  typ: string | undefined
  /** Absent in some SPIFFE identities. */
  iss: string | undefined
  sub: string
  /** Never empty. A single audience and a list of one differ for private_key_jwt. */
  aud: string | readonly string[]
  /** Seconds since the epoch. */
  exp: number
  iat: number | undefined
  jti: string | undefined
  claims: Claims
  /** The compact JWS as it was sent. */
  jws: string
}

export type Claims = Readonly<Record<string, unknown>>

/** Why an assertion is refused, for the log and the audit trail. The caller never learns which. */
export type AssertionFault =
  | 'assertion_too_long'
  | 'assertion_malformed'
  | 'assertion_crit'
  | 'assertion_type'
  | 'assertion_claims'
  | 'assertion_of_a_person'
  | 'assertion_expired'
  | 'assertion_not_yet_valid'
  | 'assertion_lives_too_long'

export type Refusal<Reason extends string> = { ok: false; reason: Reason }
export type Parsed = { ok: true; assertion: Assertion } | Refusal<AssertionFault>

const LONGEST_ASSERTION_CHARACTERS = 16_384
const LONGEST_NAME = 1_024
const MOST_AUDIENCES = 32
/** Tolerance for a clock of the issuer that is ahead. The end has none: a token never outlives its assertion. */
const SKEW_SECONDS = 60
const LONGEST_LIFETIME_SECONDS = 86_400

/** Types that say nothing, or that it authenticates a client (draft-ietf-oauth-rfc7523bis). Others name another use. */
const TYPES = new Set(['jwt', 'jose', 'client-authentication+jwt'])
/** OpenID Connect Core §2 and §3.1.3.6, OpenID Connect Front-Channel Logout: only tokens about people have them. */
const OF_PEOPLE = ['nonce', 'at_hash', 'c_hash', 'auth_time', 'sid']

/** Parses the compact serialization strictly. Nothing in it is trusted yet. `jku`, `x5u`, `jwk` and `x5c` are never read. */
export function parseAssertion(text: string): Parsed {
  if (text.length > LONGEST_ASSERTION_CHARACTERS) return refused('assertion_too_long')
  const parts = text.split('.')
  const [encodedHeader = '', encodedClaims = '', signature = ''] = parts
  const header = jsonObject(encodedHeader)
  const claims = jsonObject(encodedClaims)
  if (parts.length !== 3 || !header || !claims || !strictBase64url(signature)?.length)
    return refused('assertion_malformed')
  const { alg, kid, typ, crit } = header
  if (typeof alg !== 'string' || !isOptionalName(kid) || !isOptionalName(typ))
    return refused('assertion_malformed')
  // RFC 7515 §4.1.11: no extension is understood. `b64` and others need it.
  if (crit !== undefined || Object.hasOwn(header, 'b64')) return refused('assertion_crit')
  if (typ !== undefined && !TYPES.has(typ.toLowerCase().replace(/^application\//, '')))
    return refused('assertion_type')
  const { iss, sub, aud, exp, iat, nbf, jti } = claims
  if (
    !isOptionalName(iss) ||
    !isName(sub) ||
    !isAudience(aud) ||
    !isInstant(exp) ||
    !isOptionalInstant(iat) ||
    !isOptionalInstant(nbf) ||
    !isOptionalName(jti)
  )
    return refused('assertion_claims')
  return { ok: true, assertion: { alg, kid, typ, iss, sub, aud, exp, iat, jti, claims, jws: text } }
}

/** What no issuer's rules can allow. `now` in epoch milliseconds. */
export function assertionFault(
  { claims, exp, iat }: Assertion,
  kind: ProviderKind | 'public_key',
  now: number,
): AssertionFault | undefined {
  const seconds = now / 1000
  // RFC 8417: a set of events is no identity.
  if (OF_PEOPLE.some(name => Object.hasOwn(claims, name)) || Object.hasOwn(claims, 'events'))
    return 'assertion_of_a_person'
  // With less left, a token could not be valid for a whole second.
  if (exp - seconds < 1) return 'assertion_expired'
  const begins = Math.max(iat ?? 0, isInstant(claims.nbf) ? claims.nbf : 0)
  if (begins > seconds + SKEW_SECONDS) return 'assertion_not_yet_valid'
  const lifetime = exp - (iat ?? seconds)
  return kind !== 'kubernetes' && lifetime > LONGEST_LIFETIME_SECONDS ? 'assertion_lives_too_long' : undefined
}

export const audiencesOf = ({ aud }: Assertion): readonly string[] => (typeof aud === 'string' ? [aud] : aud)

const refused = (reason: AssertionFault): Parsed => ({ ok: false, reason })

/** Base64url without padding, in the one way to write these bytes (RFC 7515 §2). */
function strictBase64url(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : undefined
}

function jsonObject(encoded: string): Record<string, unknown> | undefined {
  const bytes = strictBase64url(encoded)
  if (!bytes || !isUtf8(bytes)) return undefined
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined
  } catch {
    return undefined
  }
}

const isName = (value: unknown): value is string =>
  typeof value === 'string' && value !== '' && value.length <= LONGEST_NAME && !value.includes('\0')
const isOptionalName = (value: unknown): value is string | undefined => value === undefined || isName(value)
const isInstant = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0
const isOptionalInstant = (value: unknown): value is number | undefined =>
  value === undefined || isInstant(value)
const isAudience = (value: unknown): value is string | string[] =>
  isName(value) ||
  (Array.isArray(value) && value.length > 0 && value.length <= MOST_AUDIENCES && value.every(isName))
