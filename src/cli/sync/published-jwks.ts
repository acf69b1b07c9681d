import { createHash, createPublicKey, type webcrypto } from 'node:crypto'
import {
  LONGEST_JWKS_MAX_AGE_SECONDS,
  MAX_AGES_IN_A_LEAD,
  MOST_PUBLISHED_KEYS,
} from '../../config/rotation-policy.ts'
import { type BoundedAnswer, boundedRequest } from './bounded-request.ts'
import { LONGEST_INTERVAL_SECONDS } from './interval.ts'
import { SyncFault } from './sync-fault.ts'

/** Ten keys with RSA 4096 have a fifth of it. */
const MOST_BYTES = 65_536
/** Annotation: when Mintmark last changed the JWKS that the object has. An older one is not written over it. */
export const MODIFIED = 'mintmark/jwks-modified'

/** A JWK Set as Mintmark publishes it. */
export interface PublishedJwks {
  /** The text for `jwks` of a rule. Equal for equal sets. */
  text: string
  kids: readonly string[]
  /** When the set was last changed, as epoch milliseconds; undefined when the answer does not say (before 0.3). */
  modifiedAt: number | undefined
  /** The longest time between two rounds in which each new key is known before it signs. */
  longestIntervalSeconds: number
}

/** Fetches and checks the JWK Set. @throws {SyncFault} when there is none, or it must not be used. */
export async function fetchJwks(url: URL, signal?: AbortSignal): Promise<PublishedJwks> {
  let answer: BoundedAnswer
  try {
    answer = await boundedRequest({ method: 'GET', url, mostBytes: MOST_BYTES, signal })
  } catch (error) {
    throw unavailable(url, (error as Error).message)
  }
  const { status, headers, text } = answer
  if (status !== 200) throw unavailable(url, `answers ${status}`)
  const keys = keysOf(text)
  const fault = setFault(keys)
  if (fault) throw new SyncFault('jwks_invalid', `${url} ${fault}. Nothing was written.`)
  const modified = Date.parse(headers['last-modified'] ?? '')
  return {
    text: JSON.stringify({ keys }),
    kids: keys.map(({ kid }) => String(kid)),
    modifiedAt: Number.isNaN(modified) ? undefined : modified,
    longestIntervalSeconds: longestInterval(headers['cache-control'] ?? ''),
  }
}

/** A third of the publish lead, so that two rounds may fail; of an hour, when the lead is longer. */
function longestInterval(cacheControl: string): number {
  const maxAge = Number(/max-age=(\d{1,9})/.exec(cacheControl)?.[1] ?? LONGEST_JWKS_MAX_AGE_SECONDS)
  return Math.max(1, Math.min(LONGEST_INTERVAL_SECONDS, (maxAge * MAX_AGES_IN_A_LEAD) / 3))
}

const unavailable = (url: URL, why: string) => new SyncFault('mintmark_unavailable', `${url} ${why}.`)

type Jwk = Record<string, unknown>

function keysOf(text: string): Jwk[] {
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown }
    return Array.isArray(keys) ? (keys as Jwk[]) : []
  } catch {
    return []
  }
}

/** Undefined for a set that every verifier can use; otherwise what is wrong, after the URL. */
function setFault(keys: readonly Jwk[]): string | undefined {
  if (keys.length === 0) return 'has no list of keys: with an empty set every token would be rejected'
  if (keys.length > MOST_PUBLISHED_KEYS) return `has more than ${MOST_PUBLISHED_KEYS} keys`
  const faults = keys.map(keyFault)
  const fault = faults.find(each => each !== undefined)
  if (fault !== undefined) return `has a key that ${fault}`
  if (new Set(keys.map(({ kid }) => kid)).size < keys.length) return 'has a kid twice'
  return undefined
}

const ALGORITHMS = new Set(['ES256', 'RS256', 'PS256', 'EdDSA'])
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k', 'oth']

/** RFC 7517, RFC 7638: a public signing key with its thumbprint as the kid, as Mintmark creates them. */
function keyFault(jwk: Jwk): string | undefined {
  if (typeof jwk !== 'object' || jwk === null) return 'is not an object'
  if (PRIVATE_MEMBERS.some(name => Object.hasOwn(jwk, name))) return 'has private members'
  if (!ALGORITHMS.has(String(jwk.alg)) || jwk.use !== 'sig') return 'is not a signing key'
  try {
    createPublicKey({ key: jwk as webcrypto.JsonWebKey, format: 'jwk' })
  } catch {
    return 'cannot be read'
  }
  return jwk.kid === thumbprint(jwk) ? undefined : 'does not match its kid'
}

const THUMBPRINT_MEMBERS: Record<string, readonly string[]> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  RSA: ['e', 'kty', 'n'],
}

function thumbprint(jwk: Jwk): string {
  const members = (THUMBPRINT_MEMBERS[String(jwk.kty)] ?? []).map(name => [name, jwk[name]])
  return createHash('sha256')
    .update(JSON.stringify(Object.fromEntries(members)))
    .digest('base64url')
}
