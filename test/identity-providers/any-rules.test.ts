import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Workloads } from '../../src/authentication/workloads.ts'
import { DirectoryCopy } from '../../src/directory/directory-copy.ts'
import { Identities } from '../../src/directory/identities.ts'
import type { KnownTenant } from '../../src/directory/known-key.ts'
import { FetchTokens } from '../../src/identity-providers/fetching/fetch-tokens.ts'
import { FetchedKeys } from '../../src/identity-providers/fetching/fetched-keys.ts'
import { authorizeClientCredentials, NotGranted } from '../../src/oauth/client-credentials.ts'
import type { TokenRequest } from '../../src/oauth/token-request.ts'
import { systemClock } from '../../src/system/clock.ts'
import { FailureLimit } from '../../src/system/failure-limit.ts'
import { systemRandom } from '../../src/system/random.ts'
import type { KeyRights } from '../../src/tenants/rights.ts'
import { accessTokenClaims } from '../../src/tokens/claims.ts'
import { jws, newPair } from './assertions.ts'

/**
 * The whole exchange without I/O, for any set of tenants, keys, rules and bounds: what a token has is compared with an
 * oracle that looks at every rule by itself.
 */

const NOW = 1_795_000_000
const ISSUER = 'https://issuer.example.com'
const pair = newPair('one')

/** Mostly all of them. */
const some = (...names: string[]) =>
  fc.oneof({ weight: 2, arbitrary: fc.constant(names) }, fc.subarray(names))
const someOrAll = (...names: string[]) => fc.option(some(...names))
const lifetime = fc.option(fc.integer({ min: 60, max: 3_600 }))

const tenant = (id: string): fc.Arbitrary<KnownTenant> =>
  fc
    .record({
      suspended: fc.boolean().map(value => value && id === 'initech'),
      tier: fc.constantFrom('standard', 'premium'),
      alsoAllowed: some('standard', 'premium'),
      scopes: some('inference', 'embed'),
      models: someOrAll('m1', 'm2'),
      adapters: some('a1', 'a2'),
      audiences: some('vllm', 'eu'),
      tokenTtlSeconds: lifetime,
    })
    .map(({ suspended, alsoAllowed, ...rights }) => ({
      id,
      suspended,
      stalenessSeconds: null,
      epoch: 'aaaaaaaa',
      rights: { ...rights, allowedTiers: [...new Set([rights.tier, ...alsoAllowed])], limits: {} } as never,
    }))
const keyRights: fc.Arbitrary<KeyRights> = fc.record({
  tier: fc.option(fc.constantFrom('standard', 'premium', 'absent')),
  scopes: some('inference', 'embed', 'more'),
  models: someOrAll('m1', 'm2', 'm3'),
  adapters: someOrAll('a1', 'a2', 'a3'),
  audiences: someOrAll('vllm', 'eu', 'us'),
  tokenTtlSeconds: lifetime,
  limits: fc.constant({}),
})

const segment = fc.constantFrom('a', 'a', 'b', 'default')
const joined = (part: fc.Arbitrary<string>) =>
  fc.array(part, { minLength: 1, maxLength: 2 }).map(parts => parts.join(':'))
const value = fc.constantFrom('1', '2')
const named = fc.record({
  subject: fc.option(joined(fc.oneof(segment, fc.constant('*'))), { freq: 3 }),
  claims: fc.dictionary(fc.constantFrom('p', 'q'), fc.oneof(value, fc.uniqueArray(value, { minLength: 1 })), {
    maxKeys: 2,
    noNullPrototype: true,
  }),
})
type Named = typeof named extends fc.Arbitrary<infer T> ? T : never

const key = (id: string) =>
  fc
    .record({
      tenantId: fc.constantFrom('acme', 'acme', 'acme', 'globex', 'initech'),
      rights: keyRights,
      disabled: fc.integer({ max: 9, min: 0 }).map(one => one === 0),
      revoked: fc.integer({ max: 9, min: 0 }).map(one => one === 0),
      expiresIn: fc.option(fc.integer({ min: -50, max: 400 })),
      rules: fc.array(named, { minLength: 1, maxLength: 1 }),
    })
    .map(({ tenantId, rights, disabled, revoked, expiresIn, rules }) => ({
      key: {
        id,
        tenantId,
        expiresAt: expiresIn === null ? null : (NOW + expiresIn) * 1000,
        disabled,
        rights,
        epoch: 'bbbbbbbb',
        secrets: [],
      },
      revoked,
      credentials: rules.map((rule, place) => ({
        id: `crd_${id}${place}`,
        keyId: id,
        settings: {
          type: 'federated' as const,
          providerId: 'idp_1',
          ...rule,
          allowUntrustedEvents: false,
        },
      })),
    }))

const world = fc.record({
  tenants: fc.tuple(tenant('acme'), tenant('globex'), tenant('initech')),
  keys: fc.tuple(key('key_1'), key('key_2'), key('key_3')),
  bounds: fc.array(
    fc.record({ tenantId: fc.constantFrom('acme', 'globex'), named }).map(each => ({
      tenantId: each.tenantId,
      ...each.named,
    })),
    { maxLength: 1 },
  ),
})
const presented = fc.record({
  sub: joined(segment),
  claims: fc.dictionary(fc.constantFrom('p', 'q'), fc.oneof(value, fc.uniqueArray(value)), {
    noNullPrototype: true,
  }),
  livesFor: fc.integer({ min: 2, max: 400 }),
  client: fc.constantFrom(undefined, 'key_1', 'key_1', 'key_2', 'acme', 'globex'),
  scopes: fc.option(some('inference', 'more'), { nil: undefined, freq: 1 }),
  audience: fc.constantFrom(undefined, undefined, 'vllm', 'us'),
})

/** Written without the code under test. */
function accepts({ subject, claims }: Named, sub: string, sent: Record<string, unknown>): boolean {
  const wild = '(?!default(?::|$))[^:]+'
  const isNamed =
    subject === null || new RegExp(`^${subject.replaceAll('*', wild).replaceAll('/', '\\/')}$`).test(sub)
  const hasClaims = Object.entries(claims).every(([name, accepted]) =>
    [sent[name]].flat().some(each => [accepted].flat().some(one => one === each)),
  )
  // A rule that names nothing is rejected when it is written, and matches nothing.
  return isNamed && hasClaims && (subject !== null || Object.keys(claims).length > 0)
}

const within = (inner: readonly string[], ...outer: (readonly string[] | null)[]) =>
  outer.every(list => list === null || inner.every(entry => list.includes(entry)))

describe('no set of rules yields a token', () => {
  it('of another tenant, of a key that ended, or with more than its tenant and its key have', async () => {
    let issued = 0
    const run = async (
      { tenants, keys, bounds }: typeof world extends fc.Arbitrary<infer T> ? T : never,
      sent: typeof presented extends fc.Arbitrary<infer T> ? T : never,
    ) => {
      const copy = new DirectoryCopy({
        database: undefined as never,
        clock: systemClock,
        logger: undefined as never,
        seals: undefined as never,
        maxKeys: 10,
        tokenTtlSeconds: 300,
        stalenessSeconds: 900,
        lookupName: hash => hash,
        staleness: () => 0,
        isExtended: () => false,
      })
      copy.adopt({
        priorities: [
          ['standard', 0],
          ['premium', -10],
        ],
        tierLimits: [],
        models: ['m1', 'm2'],
        modelFacts: [],
        overflowed: false,
        incomplete: [],
        tenants,
        keys: [],
      })
      const identities = new Identities({
        tombstones: { has: () => false, endOf: () => undefined },
        database: undefined as never,
        seals: undefined as never,
        copy,
        fetched: new FetchedKeys({
          tokens: new FetchTokens({ keys: [], random: systemRandom }),
          cluster: { apiUrl: 'https://kubernetes.default.svc', folder: '/nowhere' },
          clock: systemClock,
          random: systemRandom,
          now: () => NOW * 1000,
          insecureLoopback: false,
          isOwn: () => false,
        }),
        tokenTtlSeconds: 300,
      })
      const provider = {
        id: 'idp_1',
        kind: 'oidc' as const,
        issuer: ISSUER,
        audiences: ['mintmark'],
        algorithms: ['ES256' as const],
        bounds,
        jwks: { keys: [pair.jwk] },
        jwksUri: null,
        caPem: null,
        allowAddresses: [],
        jwksMaxStaleSeconds: 86_400,
      }
      await identities.adopt({ providers: [provider], keys, fetched: [] })
      const deferred = { used: () => {}, count: () => {} } as never
      const workloads = new Workloads({
        database: {} as never,
        failures: new FailureLimit({ perMinute: 1_000_000 }),
        identities,
        deferred,
        issuer: 'https://us',
        now: () => NOW * 1000,
      })
      const exp = NOW + sent.livesFor
      const assertion = jws(
        pair,
        { alg: 'ES256', kid: 'one' },
        { ...sent.claims, iss: ISSUER, aud: 'mintmark', sub: sent.sub, exp },
      )
      const result = await workloads.authenticate(
        { assertion, use: 'assertion', clientId: sent.client },
        undefined,
      )
      const matching = keys.flatMap(({ key: { id, tenantId }, credentials }) =>
        credentials.some(({ settings }) => accepts(settings, sent.sub, sent.claims))
          ? [{ id, tenantId }]
          : [],
      )
      const foreign = bounds.filter(each => accepts({ ...each }, sent.sub, sent.claims))
      if (!result.ok) return
      const { caller } = result
      const request = {
        scopes: sent.scopes,
        audience: sent.audience,
        resources: [],
      } as unknown as TokenRequest
      let grant: ReturnType<typeof authorizeClientCredentials>
      try {
        grant = authorizeClientCredentials(caller, request)
      } catch (error) {
        expect(error).toBeInstanceOf(NotGranted)
        return
      }
      issued++
      const { claims } = accessTokenClaims({ issuer: 'https://us', caller, ...grant, tokenId: 'x' })
      const own = keys.find(each => each.key.id === claims.sub)
      const holder = tenants.find(each => each.id === claims.tenant)
      if (!own || !holder) throw new Error('a token of no key or no tenant')
      // The tenant of the key, of every rule that matches, and of what is reserved.
      expect(own.key.tenantId).toBe(holder.id)
      expect(new Set(matching.map(({ tenantId }) => tenantId))).toEqual(new Set([holder.id]))
      expect(matching.map(({ id }) => id)).toContain(claims.sub)
      for (const each of foreign) {
        const single = Object.keys(each.claims).every(name => !Array.isArray(sent.claims[name]))
        if (single) expect(each.tenantId).toBe(holder.id)
      }
      if (sent.client !== undefined) expect([claims.sub, claims.tenant]).toContain(sent.client)
      // Its state.
      expect([own.key.disabled, own.revoked, holder.suspended]).toEqual([false, false, false])
      // Tenant ∩ key, and no longer than anything allows.
      const { rights } = holder
      expect(within(claims.scope.split(' '), rights.scopes, own.key.rights.scopes)).toBe(true)
      expect(within([claims.aud].flat(), rights.audiences, own.key.rights.audiences)).toBe(true)
      expect(within(claims.models, ['m1', 'm2'], rights.models, own.key.rights.models)).toBe(true)
      expect(within(claims.adapters, rights.adapters, own.key.rights.adapters)).toBe(true)
      expect(within([claims.tier], rights.allowedTiers)).toBe(true)
      const ends = [
        exp,
        (own.key.expiresAt ?? Number.POSITIVE_INFINITY) / 1000,
        ...[300, rights.tokenTtlSeconds, own.key.rights.tokenTtlSeconds].map(each => NOW + (each ?? 9_999)),
      ]
      expect(claims.exp).toBeLessThanOrEqual(Math.min(...ends))
      expect(claims.iat).toBe(NOW)
    }
    await fc.assert(fc.asyncProperty(world, presented, run), { numRuns: 300 })
    // Otherwise nothing was shown.
    expect(issued).toBeGreaterThan(3)
  })
})
