import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { evaluate } from '../../src/authentication/authenticator.ts'
import type { SecretSnapshot } from '../../src/directory/directory.ts'
import { accessTokenClaims } from '../../src/tokens/claims.ts'

const NOW = Date.parse('2027-01-31T12:00:00.250Z')

const snapshot = (
  ends: { key?: number | null; secret?: number | null } = {},
  tokenTtlSeconds = 300,
): SecretSnapshot => ({
  secretId: 'sec_0000000000000001',
  secretDigest: '',
  secretEndsAt: ends.secret ?? null,
  secretRevoked: false,
  keyId: 'key_0000000000000001',
  keyExpiresAt: ends.key ?? null,
  keyDisabled: false,
  keyEpoch: 'k0000000',
  keyRevoked: false,
  keyRights: {
    tier: null,
    scopes: ['inference'],
    models: null,
    adapters: null,
    audiences: null,
    tokenTtlSeconds: null,
    limits: {},
  },
  tenantId: 'acme',
  tenantSuspended: false,
  tenantEpoch: 't0000000',
  tenantRights: {
    tier: 'standard',
    allowedTiers: ['standard'],
    scopes: ['inference'],
    models: null,
    adapters: [],
    audiences: ['vllm'],
    tokenTtlSeconds: null,
    limits: {},
  },
  catalogue: { priorities: new Map([['standard', 0]]), tierLimits: new Map(), models: [], tokenTtlSeconds },
})

/** The lifetime of a token issued for this secret at `now`; otherwise why there is none. */
function lifetime(found: SecretSnapshot, now: number) {
  const authentication = evaluate(found, undefined, now)
  if (!authentication.ok) return authentication.reason
  const { caller } = authentication
  const { claims, json } = accessTokenClaims({
    issuer: 'https://tokens.example.test',
    caller,
    scopes: caller.rights.scopes,
    audiences: caller.rights.audiences,
    tokenId: 'id',
  })
  const { iat, exp } = claims
  expect(JSON.parse(json)).toEqual(claims)
  return { iat, exp, seconds: exp - iat }
}

const ONE_SECOND = { iat: Math.floor(NOW / 1000), exp: Math.floor(NOW / 1000) + 1, seconds: 1 }

describe('Less than a second left counts as expired', () => {
  it.each([
    ['a key with a second left', { key: NOW + 1000 }, ONE_SECOND],
    ['a key with a millisecond less', { key: NOW + 999 }, 'key_expired'],
    ['a key that ends now', { key: NOW }, 'key_expired'],
    ['a key that ended long ago', { key: 0 }, 'key_expired'],
    ['a secret with a second left', { secret: NOW + 1000 }, ONE_SECOND],
    ['a secret with a millisecond less', { secret: NOW + 999 }, 'secret_ended'],
    ['a secret that ended, of a key that lasts', { secret: NOW - 1, key: NOW + 86_400_000 }, 'secret_ended'],
    ['a key that ended, and its secret not yet', { secret: NOW + 86_400_000, key: NOW }, 'key_expired'],
  ])('%s', (_, ends, outcome) => {
    expect(lifetime(snapshot(ends), NOW)).toEqual(outcome)
  })
})

describe('exp is the earliest of', () => {
  it.each([
    ['the lifetime, when nothing ends', {}, 300],
    ['the lifetime, when all else ends later', { key: NOW + 301_000, secret: NOW + 400_000 }, 300],
    ['the end of the key', { key: NOW + 100_000, secret: NOW + 200_000 }, 100],
    ['the end of the secret', { key: NOW + 200_000, secret: NOW + 100_000 }, 100],
  ])('%s', (_, ends, seconds) => {
    expect(lifetime(snapshot(ends), NOW)).toMatchObject({ seconds })
  })

  it('all of them, at any instant and to the millisecond', () => {
    const instant = fc.integer({ min: 0, max: 4_000_000_000_000 })
    const rest = fc.option(fc.integer({ min: 1000, max: 7_200_000 }))
    const ttl = fc.integer({ min: 60, max: 3600 })
    fc.assert(
      fc.property(instant, rest, rest, ttl, (now, key, secret, ttlSeconds) => {
        const ends = { key: key === null ? null : now + key, secret: secret === null ? null : now + secret }
        const token = lifetime(snapshot(ends, ttlSeconds), now)
        if (typeof token === 'string') return expect.fail(token)
        expect(Number.isInteger(token.iat) && Number.isInteger(token.exp)).toBe(true)
        expect(token.iat).toBe(Math.floor(now / 1000))
        expect(token.seconds).toBeGreaterThanOrEqual(1)
        expect(token.seconds).toBeLessThanOrEqual(ttlSeconds)
        for (const end of [ends.key, ends.secret])
          if (end !== null) expect(token.exp * 1000).toBeLessThanOrEqual(end)
      }),
    )
  })
})
