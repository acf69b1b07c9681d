import fc from 'fast-check'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { LIMIT_NAMES, type LimitName, type Limits } from '../../src/tenants/limits.ts'
import { type Catalogue, effectiveRights, type KeyRights, knownRights } from '../../src/tenants/rights.ts'
import type { TenantRights } from '../../src/tenants/tenant-settings.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

const TIERS = ['premium', 'standard', 'batch']
const MODELS = ['m1', 'm2', 'm3']
const ADAPTERS = ['a1', 'a2', 'a3']
const SCOPES = ['inference', 'embed', 'admin-like']
const AUDIENCES = ['vllm', 'other', 'https://third.example/']

const some = (names: string[], minLength = 0) =>
  fc.subarray(names, { minLength }).chain(list => fc.shuffledSubarray(list, { minLength: list.length }))
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { freq: 3 })
const ttl = orNull(fc.integer({ min: 60, max: 3600 }))
/** Few numbers, so that tenants, tiers and keys often have the same. */
const limit = fc.constantFrom(1, 2, 3, 4_294_967_295)
const limitsOf = <T>(number: fc.Arbitrary<T>) =>
  fc.record(Object.fromEntries(LIMIT_NAMES.map(name => [name, number])) as Record<LimitName, typeof number>, {
    requiredKeys: [],
  })

describe('effective rights', () => {
  const tenantRights: fc.Arbitrary<TenantRights> = fc
    .record({
      allowedTiers: some(TIERS, 1),
      scopes: some(SCOPES),
      models: orNull(some(MODELS)),
      adapters: some(ADAPTERS),
      audiences: some(AUDIENCES, 1),
      tokenTtlSeconds: ttl,
      limits: limitsOf(limit),
      index: fc.nat(),
    })
    .map(({ index, ...rest }) => ({
      ...rest,
      tier: rest.allowedTiers[index % rest.allowedTiers.length] ?? '',
    }))
  const keyRights: fc.Arbitrary<KeyRights> = fc.record({
    tier: orNull(fc.constantFrom(...TIERS)),
    scopes: some(SCOPES),
    models: orNull(some(MODELS)),
    adapters: orNull(some(ADAPTERS)),
    audiences: orNull(some(AUDIENCES)),
    tokenTtlSeconds: ttl,
    limits: limitsOf(limit),
  })
  const catalogue: fc.Arbitrary<Catalogue> = fc
    .record({
      models: some(MODELS),
      tokenTtlSeconds: fc.integer({ min: 60, max: 3600 }),
      limits: fc.array(limitsOf(limit), { maxLength: TIERS.length }),
    })
    .map(({ limits, ...rest }) => ({
      ...rest,
      tierLimits: new Map(limits.map((each, index) => [TIERS[index] ?? '', each])),
      priorities: new Map(TIERS.map((tier, index) => [tier, index * 10 - 10])),
    }))
  const LISTS = ['scopes', 'adapters', 'audiences'] as const

  const property = (check: (tenant: TenantRights, key: KeyRights, known: Catalogue) => void) =>
    fc.assert(fc.property(tenantRights, keyRights, catalogue, check), { numRuns: 500 })

  it('are in each list exactly what both the tenant and the key have, in the order of the key', () => {
    property((tenant, key, known) => {
      const rights = effectiveRights(tenant, key, known)
      for (const list of LISTS)
        expect(rights[list]).toEqual(
          (key[list] ?? tenant[list]).filter(entry => tenant[list].includes(entry)),
        )
      for (const model of MODELS) {
        const both =
          known.models.includes(model) &&
          (tenant.models?.includes(model) ?? true) &&
          (key.models?.includes(model) ?? true)
        expect(rights.models.includes(model)).toBe(both)
      }
    })
  })

  it("have the key's tier if the tenant allows it, else the tenant's, with that tier's priority", () => {
    property((tenant, key, known) => {
      const { tier, priority } = effectiveRights(tenant, key, known)
      expect(tier).toBe(key.tier && tenant.allowedTiers.includes(key.tier) ? key.tier : tenant.tier)
      expect(priority).toBe(known.priorities.get(tier))
    })
  })

  it('live no longer than the shortest of policy, tenant and key', () => {
    property((tenant, key, known) => {
      const limits = [known.tokenTtlSeconds, tenant.tokenTtlSeconds, key.tokenTtlSeconds].filter(
        limit => limit !== null,
      )
      expect(effectiveRights(tenant, key, known).tokenTtlSeconds).toBe(Math.min(...limits))
    })
  })

  it("have in the tenant's bucket the tenant's numbers, else those of its tier, whichever tier the key has", () => {
    property((tenant, key, known) => {
      const { limits } = effectiveRights(tenant, key, known)
      for (const name of LIMIT_NAMES)
        expect(limits.tenant[name]).toBe(tenant.limits[name] ?? known.tierLimits.get(tenant.tier)?.[name])
    })
  })

  it("have in the key's bucket its own numbers only, none above the tenant's", () => {
    property((tenant, key, known) => {
      const { limits } = effectiveRights(tenant, key, known)
      expect(Object.keys(limits.key).sort()).toEqual(Object.keys(key.limits).sort())
      for (const name of LIMIT_NAMES) {
        const own = key.limits[name]
        if (own !== undefined) expect(limits.key[name]).toBe(Math.min(own, limits.tenant[name] ?? own))
      }
    })
  })

  it('are the same when they are cached, whichever of the three values was replaced', () => {
    const several = <T>(arbitrary: fc.Arbitrary<T>) => fc.array(arbitrary, { minLength: 2, maxLength: 3 })
    const index = fc.nat({ max: 2 })
    const lookups = fc.array(fc.tuple(index, index, index), { minLength: 5, maxLength: 40 })
    fc.assert(
      fc.property(several(tenantRights), several(keyRights), several(catalogue), lookups, (...all) => {
        const [tenants, keys, catalogues, asked] = all
        const of = <T>(values: T[], at: number) => values[at % values.length] as T
        for (const [t, k, c] of asked) {
          const three = [of(tenants, t), of(keys, k), of(catalogues, c)] as const
          expect(knownRights(...three)).toEqual(effectiveRights(...three))
          expect(knownRights(...three)).toBe(knownRights(...three))
        }
      }),
      { numRuns: 200 },
    )
  })

  it('never grow when a tenant is restricted', () => {
    fc.assert(
      fc.property(tenantRights, tenantRights, keyRights, catalogue, (wide, other, key, known) => {
        const narrow: TenantRights = {
          ...wide,
          scopes: wide.scopes.filter(entry => other.scopes.includes(entry)),
          adapters: wide.adapters.filter(entry => other.adapters.includes(entry)),
          models: (wide.models ?? MODELS).filter(entry => other.models?.includes(entry) ?? true),
        }
        const [before, after] = [effectiveRights(wide, key, known), effectiveRights(narrow, key, known)]
        for (const list of ['scopes', 'adapters', 'models'] as const)
          expect(before[list]).toEqual(expect.arrayContaining([...after[list]]))
      }),
      { numRuns: 500 },
    )
  })
})

describe('over HTTP, after any sequence of writes', () => {
  let mintmark: TestService
  beforeAll(async () => {
    mintmark = await startTestService()
    for (const model of MODELS) await mintmark.admin('PUT', `/models/${model}`, {})
    for (const adapter of ADAPTERS) await mintmark.admin('PUT', `/adapters/${adapter}`, { base_model: 'm1' })
  })
  afterAll(() => mintmark.stop())

  type Command = [what: string, method: string, path: (tenant: string, key: string) => string, body?: object]
  const tenantBody = fc.record(
    {
      tier: fc.constantFrom(...TIERS),
      allowed_tiers: some(TIERS),
      scopes: some(SCOPES),
      models: orNull(some(MODELS)),
      adapters: some(ADAPTERS),
      audiences: some(AUDIENCES),
      token_ttl_seconds: ttl,
      limits: orNull(limitsOf(orNull(limit))),
    },
    { requiredKeys: [] },
  )
  const keyBody = fc.record(
    {
      tier: orNull(fc.constantFrom(...TIERS)),
      scopes: some(SCOPES),
      models: orNull(some(MODELS)),
      adapters: orNull(some(ADAPTERS)),
      audiences: orNull(some(AUDIENCES)),
      token_ttl_seconds: ttl,
      limits: orNull(limitsOf(orNull(limit))),
    },
    { requiredKeys: [] },
  )
  const tenantPath = (tenant: string) => `/tenants/${tenant}`
  const keyPath = (_: string, key: string) => `/keys/${key}`
  const command: fc.Arbitrary<Command> = fc.oneof(
    {
      arbitrary: tenantBody.map((body): Command => ['patch the tenant', 'PATCH', tenantPath, body]),
      weight: 4,
    },
    { arbitrary: keyBody.map((body): Command => ['patch the key', 'PATCH', keyPath, body]), weight: 4 },
    fc
      .constantFrom('suspend', 'resume')
      .map((action): Command => [action, 'POST', tenant => `/tenants/${tenant}/${action}`]),
    fc
      .constantFrom('disable', 'enable')
      .map((action): Command => [action, 'POST', (_, key) => `/keys/${key}/${action}`]),
    fc
      .tuple(fc.constantFrom(...TIERS), fc.integer({ min: -50, max: 50 }), limitsOf(orNull(limit)))
      .map(
        ([tier, priority, limits]): Command => [
          'set a tier',
          'PUT',
          () => `/tiers/${tier}`,
          { priority, limits },
        ],
      ),
    fc
      .constantFrom(
        ...MODELS.slice(1).map(name => `/models/${name}`),
        ...ADAPTERS.map(name => `/adapters/${name}`),
      )
      .map((path): Command => ['delete from the catalogue', 'DELETE', () => path]),
    fc
      .constantFrom(...MODELS.slice(1))
      .map((name): Command => ['register again', 'PUT', () => `/models/${name}`, {}]),
  )

  const both = (tenant: string[], key: string[] | null) =>
    (key ?? tenant).filter(entry => tenant.includes(entry))

  /** The claim, computed here from the responses of GET; undefined: no claim. */
  function expectedLimits(
    tenant: { tier: string; limits: Limits },
    key: { limits: Limits },
    tiers: { name: string; limits: Limits }[],
  ) {
    const shared = tiers.find(({ name }) => name === tenant.tier)?.limits
    const claim: Record<string, Record<string, object>> = {}
    for (const name of LIMIT_NAMES) {
      const [what = '', , per] = name.split('_')
      const most = tenant.limits[name] ?? shared?.[name] ?? null
      const own = key.limits[name] && Math.min(key.limits[name], most ?? key.limits[name])
      for (const [bucket, number] of [
        ['tenant', most],
        ['key', own],
      ] as const)
        if (number) {
          claim[bucket] ??= {}
          claim[bucket][per === 'day' ? `${what}_daily` : what] = {
            requests_per_unit: number,
            unit: per === 'day' ? 'DAY' : 'MINUTE',
          }
        }
    }
    return Object.keys(claim).length === 0 ? undefined : claim
  }

  /** The expected result of an exchange, computed here from the responses of GET and not by our code. */
  async function expected(tenantId: string, keyId: string) {
    const read = async (path: string) => (await mintmark.admin('GET', path)).body
    const [tenant, key, models, tiers] = [
      await read(`/tenants/${tenantId}`),
      await read(`/keys/${keyId}`),
      await read('/models?limit=100'),
      await read('/tiers'),
    ]
    const registered: string[] = models.data.map((model: { name: string }) => model.name)
    const tier = tenant.allowed_tiers.includes(key.tier) ? key.tier : tenant.tier
    const rights = {
      tier,
      priority: String(tiers.data.find((known: { name: string }) => known.name === tier).priority),
      models: both(both(registered, tenant.models), key.models).sort(),
      adapters: both(tenant.adapters, key.adapters).sort(),
      scopes: both(tenant.scopes, key.scopes),
      audiences: both(tenant.audiences, key.audiences),
      limits: expectedLimits(tenant, key, tiers.data),
      lifetime: Math.min(300, tenant.token_ttl_seconds ?? 3600, key.token_ttl_seconds ?? 3600),
    }
    return { rights, blocked: tenant.state === 'suspended' || key.state === 'disabled' }
  }

  it('an exchange yields exactly tenant ∩ key at that moment, or is rejected when that is empty', async () => {
    let exchanges = 0
    await fc.assert(
      fc.asyncProperty(
        tenantBody,
        fc.array(command, { minLength: 10, maxLength: 10 }),
        async (first, commands) => {
          const { tenantId, keyId, secret } = await mintmark.tenantWithKey()
          for (const [what, method, path, body] of [
            ['patch the tenant', 'PATCH', tenantPath, first] as Command,
            ...commands,
          ]) {
            const { status, text } = await mintmark.admin(method, path(tenantId, keyId), body)
            expect([200, 201, 204, 400, 404, 409], `${what}: ${text}`).toContain(status)
            const { rights, blocked } = await expected(tenantId, keyId)
            const answer = await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
            if (blocked) expect(answer.body).toMatchObject({ error: 'unauthorized_client' })
            else if (rights.scopes.length === 0) expect(answer.body).toMatchObject({ error: 'invalid_scope' })
            else if (rights.audiences.length === 0)
              expect(answer.body).toMatchObject({ error: 'invalid_target' })
            else {
              exchanges++
              const { models, adapters, ...claims } = decodeJwt<{ models: string[]; adapters: string[] }>(
                answer.body.access_token,
              )
              expect(claims.limits).toEqual(rights.limits)
              expect(models.sort()).toEqual(rights.models)
              expect(adapters.sort()).toEqual(rights.adapters)
              expect(claims).toMatchObject({
                sub: keyId,
                tenant: tenantId,
                tier: rights.tier,
                priority: rights.priority,
                scope: rights.scopes.join(' '),
                aud: rights.audiences[0],
              })
              expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(rights.lifetime)
              expect(answer.body.expires_in).toBe(rights.lifetime)
            }
          }
        },
      ),
      { numRuns: 6 },
    )
    expect(exchanges, 'enough of them were exchanges').toBeGreaterThan(6)
  })
})
