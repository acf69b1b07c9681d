import {
  createLocalJWKSet,
  createRemoteJWKSet,
  customFetch,
  type JWTHeaderParameters,
  type JWTPayload,
  jwtVerify,
} from 'jose'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import { ACCESS_TOKEN_TYPE } from './claims.ts'

/**
 * Verifies a token as a gateway with our published JWKS would: signature by a published key and its algorithm, `typ`,
 * issuer, audience, expiry.
 *
 * @throws {import('jose').errors.JOSEError} naming the failed check. `now` in epoch milliseconds.
 */
export async function verifyAccessToken(
  jwt: string,
  expected: { ring: KeyRing; issuer: string; audience?: string; now: number },
): Promise<JWTPayload> {
  const { payload } = await jwtVerify(jwt, keySetOf(expected.ring), {
    issuer: expected.issuer,
    ...(expected.audience !== undefined && { audience: expected.audience }),
    typ: ACCESS_TOKEN_TYPE,
    algorithms: [...new Set(expected.ring.keys.map(key => key.alg))],
    requiredClaims: REQUIRED_CLAIMS,
    currentDate: new Date(expected.now),
  })
  return payload
}

const REQUIRED_CLAIMS = [
  'sub',
  'client_id',
  'iat',
  'exp',
  'jti',
  'tenant',
  'priority',
  'models',
  'adapters',
  'adapter_list',
]

/** Cached per ring, because keys are imported on first use. */
const keySets = new WeakMap<KeyRing, ReturnType<typeof createLocalJWKSet>>()

function keySetOf(ring: KeyRing): ReturnType<typeof createLocalJWKSet> {
  const keySet = keySets.get(ring) ?? createLocalJWKSet(JSON.parse(ring.jwks))
  keySets.set(ring, keySet)
  return keySet
}

/** Verifies a token with the published documents only, fetched over HTTP, as any gateway does. Throws as above. */
export async function verifyAsGateway(
  jwt: string,
  expected: { jwksUrl: string; issuer: string; audience: string; send?: typeof fetch },
): Promise<{ header: JWTHeaderParameters; claims: JWTPayload }> {
  const { issuer, audience, send = fetch } = expected
  const keys = createRemoteJWKSet(new URL(expected.jwksUrl), { [customFetch]: send })
  const { payload, protectedHeader } = await jwtVerify(jwt, keys, {
    issuer,
    audience,
    typ: ACCESS_TOKEN_TYPE,
  })
  return { header: protectedHeader, claims: payload }
}
