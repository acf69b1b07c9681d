import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { escaped, expectNoFault, faultsIn, hostileText, rawEscaped } from '../support/hostile-input.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** Arbitrary input for the admin API: each failure prints the input that caused it. */

const RUNS = { numRuns: 150 }

let mintmark: TestService
let keyId: string
let tenant: string

beforeAll(async () => {
  mintmark = await startTestService()
  const made = await mintmark.tenantWithKey()
  keyId = made.keyId
  tenant = made.tenantId
})
afterAll(() => mintmark.stop())

describe('the admin API', () => {
  const paths = () => [
    '/tenants',
    `/tenants/${tenant}`,
    '/tenants/:x',
    `/tenants/${tenant}/suspend`,
    `/tenants/${tenant}/resume`,
    `/tenants/${tenant}/keys`,
    '/tenants/:x/keys',
    '/keys',
    `/keys/${keyId}`,
    '/keys/:x',
    `/keys/${keyId}/disable`,
    `/keys/${keyId}/enable`,
    '/keys/:x/revoke',
    `/keys/${keyId}/rotate`,
    `/keys/${keyId}/secrets/:x/revoke`,
    '/tiers',
    '/tiers/:x',
    '/models',
    '/models/:x',
    '/adapters',
    '/adapters/:x',
    '/installation',
    '/keys/inspect',
    '/usage-reporters/inspect',
    '/keys/revoke',
    `/keys/${keyId}/exchanges`,
    '/admin-tokens',
    '/admin-tokens/:x',
    '/admin-tokens/:x/revoke',
    '/token-revocations',
    '/token-revocations/:x',
    '/signing-keys',
    '/signing-keys/rotate',
    '/audit-events',
    '/audit-events/export',
    '/audit-checkpoint',
    '/imported-clients',
    '/:x',
    '/:x/:x',
  ]
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD')
  const path = fc.tuple(fc.nat(), rawEscaped).map(([index, text]) => {
    const all = paths()
    return (all[index % all.length] ?? '').replaceAll(':x', text || 'x')
  })

  it('answers every method, path and query', async () => {
    const query = fc.oneof(
      fc.constant(''),
      fc
        .tuple(
          fc.constantFrom(
            'limit',
            'cursor',
            'cascade',
            'label',
            'expires_before',
            'unused_since',
            'tenant',
            'days',
            'actor',
            'action',
            'target',
            'from',
            'dry_run',
            '__proto__',
          ),
          escaped,
        )
        .map(([name, value]) => `?${name}=${value}`),
      rawEscaped.map(text => `?${text}`),
    )
    await fc.assert(
      fc.asyncProperty(
        method.filter(verb => verb !== 'DELETE'),
        path,
        query,
        async (verb, where, asked) => expectNoFault(await mintmark.admin(verb, where + asked)),
      ),
      RUNS,
    )
  })

  const known = fc.constantFrom(
    'id',
    'name',
    'description',
    'labels',
    'tier',
    'allowed_tiers',
    'scopes',
    'models',
    'adapters',
    'audiences',
    'token_ttl_seconds',
    'staleness_seconds',
    'limits',
    'expires_at',
    'priority',
    'base_model',
    'overlap_seconds',
    'replace',
    'reason',
    'role',
    'tenant',
    'key',
    'cascade',
    'max_key_lifetime_seconds',
    'filter',
    'dry_run',
    'clients',
  )
  const member = fc.oneof(
    fc.constantFrom<unknown>(
      null,
      0,
      -1,
      1e21,
      60,
      3600,
      '',
      'standard',
      'premium',
      [],
      {},
      ['standard'],
      ['inference'],
      { requests_per_minute: 60, tokens_per_day: null },
      true,
      '2999-01-01T00:00:00Z',
    ),
    hostileText,
    fc.jsonValue({ maxDepth: 3 }),
    fc.array(hostileText, { maxLength: 4 }),
    fc.dictionary(hostileText, hostileText, { maxKeys: 4 }),
  )
  const body = fc.oneof(
    fc
      .dictionary(fc.oneof(known, known, hostileText), member, { maxKeys: 6 })
      .map(value => JSON.stringify(value)),
    hostileText,
    fc.json(),
  )
  const written = fc.constantFrom('POST', 'PUT', 'PATCH')

  it('answers every body on every route that writes', async () => {
    await fc.assert(
      fc.asyncProperty(written, path, body, async (verb, where, text) =>
        expectNoFault(await mintmark.admin(verb, where, text)),
      ),
      { numRuns: 400 },
    )
  })

  it('answers every body of a PATCH and POST on what exists', async () => {
    const targets = fc.constantFrom(
      ['PATCH', () => `/tenants/${tenant}`],
      ['PATCH', () => `/keys/${keyId}`],
      ['POST', () => `/tenants/${tenant}/keys`],
      ['POST', () => '/keys/inspect'],
      ['POST', () => '/admin-tokens'],
      ['PUT', () => '/tiers/fuzzed'],
      ['PUT', () => '/models/fuzzed'],
    ) as fc.Arbitrary<[string, () => string]>
    await fc.assert(
      fc.asyncProperty(targets, body, async ([verb, where], text) =>
        expectNoFault(await mintmark.admin(verb, where(), text)),
      ),
      { numRuns: 300 },
    )
  })

  it('answers every list of clients to import', async () => {
    const client = fc.record(
      {
        client_id: fc.oneof(hostileText, fc.constantFrom('legacy', 'legacy-2')),
        tenant: fc.oneof(fc.constant(tenant), hostileText),
        scheme: fc.oneof(fc.constantFrom('sha256', 'bcrypt'), hostileText),
        hash: fc.oneof(hostileText, fc.constantFrom('0'.repeat(64), `$2b$10$${'a'.repeat(53)}`)),
        name: hostileText,
        labels: fc.dictionary(hostileText, hostileText, { maxKeys: 2 }),
        expires_at: member,
        scopes: member,
      },
      { requiredKeys: ['client_id', 'tenant', 'scheme', 'hash'] },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(client, { maxLength: 3 }), fc.boolean(), async (clients, dry) =>
        expectNoFault(await mintmark.admin('POST', `/imported-clients?dry_run=${dry}`, { clients })),
      ),
      RUNS,
    )
  })

  it('answers every media type', async () => {
    const type = fc.oneof(
      fc.constantFrom(
        'application/json;charset=utf-16',
        'text/plain',
        'application/json;;',
        ';',
        'a/b;charset=',
        'application/json; charset="utf-8',
      ),
      fc.string({ maxLength: 30 }).filter(text => /^[\x21-\x7e]+$/.test(text)),
    )
    await fc.assert(
      fc.asyncProperty(written, path, type, async (verb, where, contentType) =>
        expectNoFault(await mintmark.admin(verb, where, '{}', { 'content-type': contentType })),
      ),
      RUNS,
    )
  })
})

it('afterwards no error was logged, and a new key works', async () => {
  expect(faultsIn(mintmark.logs)).toEqual([])
  expect((await mintmark.admin('GET', `/keys/${keyId}`)).status).toBe(200)
  const { secret } = await mintmark.tenantWithKey()
  expect((await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })).status).toBe(200)
})
