import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: TestService['admin']
let tenant: string
let key: string
let secret: string
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  await admin('PUT', '/models/base', {})
  ;({ tenantId: tenant, keyId: key, secretId: secret } = await mintmark.tenantWithKey())
})
afterAll(() => mintmark.stop())

interface AuditRow {
  transaction: string
  actor: string
  action: string
  target: string
  tenant_id: string | null
  request_id: string | null
  source: string | null
  changes: Record<string, { from?: unknown; to?: unknown }>
}

/** The rows written since `work` began. `xmin` is the transaction that wrote a row. */
async function written(work: () => Promise<JsonAnswer>) {
  const { asOwner } = mintmark.database
  const [mark] = await asOwner<{ audit: string; feed: string }>(
    'SELECT (SELECT coalesce(max(id), 0) FROM audit_events) AS audit, (SELECT max(number) FROM change_feed) AS feed',
  )
  const answer = await work()
  const audit = await asOwner<AuditRow>(
    `SELECT xmin::text AS transaction, actor, action, target_kind || ' ' || target_id AS target, tenant_id, request_id, source, changes
      FROM audit_events WHERE id > $1 ORDER BY id`,
    [mark?.audit],
  )
  const feed = await asOwner<{ transaction: string; changes: unknown }>(
    'SELECT xmin::text AS transaction, changes FROM change_feed WHERE number > $1 ORDER BY number',
    [mark?.feed],
  )
  return { answer, audit, feed }
}

/** Each mutation and its target, in an order in which each one changes something. */
const MUTATIONS: [action: string, target: () => string, ask: () => Promise<JsonAnswer>][] = [
  ['tier.create', () => 'gold', () => admin('PUT', '/tiers/gold', { priority: 1 })],
  ['tier.update', () => 'gold', () => admin('PUT', '/tiers/gold', { priority: 2 })],
  ['tier.delete', () => 'gold', () => admin('DELETE', '/tiers/gold')],
  ['model.create', () => 'm', () => admin('PUT', '/models/m', {})],
  ['model.update', () => 'm', () => admin('PUT', '/models/m', { description: 'x' })],
  ['model.delete', () => 'm', () => admin('DELETE', '/models/m')],
  ['adapter.create', () => 'a', () => admin('PUT', '/adapters/a', { base_model: 'base' })],
  ['adapter.delete', () => 'a', () => admin('DELETE', '/adapters/a')],
  ['tenant.create', () => 'new', () => admin('POST', '/tenants', { id: 'new' })],
  ['tenant.update', () => 'new', () => admin('PATCH', '/tenants/new', { name: 'x' })],
  ['tenant.suspend', () => 'new', () => admin('POST', '/tenants/new/suspend')],
  ['tenant.resume', () => 'new', () => admin('POST', '/tenants/new/resume')],
  ['tenant.delete', () => 'new', () => admin('DELETE', '/tenants/new')],
  ['key.update', () => key, () => admin('PATCH', `/keys/${key}`, { name: 'x' })],
  ['key.disable', () => key, () => admin('POST', `/keys/${key}/disable`)],
  ['key.enable', () => key, () => admin('POST', `/keys/${key}/enable`)],
  ['key.rotate', () => key, () => admin('POST', `/keys/${key}/rotate`)],
  ['key.secret-revoke', () => key, () => admin('POST', `/keys/${key}/secrets/${secret}/revoke`)],
  ['key.revoke', () => key, () => admin('POST', `/keys/${key}/revoke`, { reason: 'x' })],
]
/** The tenant in the audit row of each kind of target. */
const CONCERNED: Record<string, () => string> = { tenant: () => 'new', key: () => tenant }

describe('A change writes one audit row and one feed row, in its own transaction', () => {
  it.each(MUTATIONS)('%s', async (action, target, ask) => {
    const { answer, audit, feed } = await written(ask)
    const [kind = ''] = action.split('.')
    expect(answer.status).toBeLessThan(300)
    const request = {
      request_id: answer.headers.get('x-request-id'),
      source: expect.stringContaining('127.0.0.1'),
    }
    expect(audit).toMatchObject([
      {
        actor: 'root',
        action,
        target: `${kind} ${target()}`,
        tenant_id: CONCERNED[kind]?.() ?? null,
        ...request,
      },
    ])
    // Replicas reload models and adapters by name alone: they share one namespace.
    const fed = { kind: kind === 'adapter' ? 'model' : kind, id: target() }
    expect(feed).toEqual([{ transaction: audit[0]?.transaction, changes: [fed] }])
  })

  it('key.create', async () => {
    const { answer, audit, feed } = await written(() =>
      admin('POST', `/tenants/${tenant}/keys`, { name: 'n' }),
    )
    expect(audit).toMatchObject([
      {
        action: 'key.create',
        target: `key ${answer.body.id}`,
        tenant_id: tenant,
        changes: { name: { to: 'n' }, secretId: { to: answer.body.secret_id } },
      },
    ])
    expect(feed).toEqual([
      { transaction: audit[0]?.transaction, changes: [{ kind: 'key', id: answer.body.id }] },
    ])
    const [row] = await mintmark.database.asOwner(
      'SELECT xmin::text AS transaction FROM api_keys WHERE id = $1',
      [answer.body.id],
    )
    expect(row).toEqual({ transaction: audit[0]?.transaction })
  })

  it('signing-key.schedule', async () => {
    const { answer, audit, feed } = await written(() => admin('POST', '/signing-keys/rotate'))
    expect(audit).toMatchObject([
      { actor: 'root', action: 'signing-key.schedule', target: `signing-key ${answer.body.kid}` },
    ])
    expect(feed).toEqual([
      { transaction: audit[0]?.transaction, changes: [{ kind: 'signing-keys', id: answer.body.kid }] },
    ])
  })

  it('has the previous and the new value of each field', async () => {
    const limits = { tokens_per_day: 9, requests_per_minute: 600 }
    const { body } = await admin('POST', '/tenants', { id: 'fields', labels: { a: '1' }, limits })
    const { audit } = await written(() =>
      admin('PATCH', '/tenants/fields', {
        ...{ token_ttl_seconds: 60, labels: { a: null }, tier: body.tier },
        limits: { requests_per_minute: 300, requests_per_day: null },
      }),
    )
    expect(audit[0]?.changes).toEqual({
      tokenTtlSeconds: { from: null, to: 60 },
      labels: { from: { a: '1' }, to: {} },
      limits: { from: limits, to: { tokens_per_day: 9, requests_per_minute: 300 } },
    })
  })
})

describe('An operation without effect writes no rows', () => {
  beforeAll(async () => {
    const limits = { requests_per_minute: 600, tokens_per_day: 9 }
    await admin('POST', '/tenants', { id: 'still', labels: { a: '1' }, limits })
    await admin('POST', '/tenants', { id: 'blocked' })
    await admin('POST', '/tenants/blocked/suspend')
  })

  it.each<[string, () => Promise<JsonAnswer>, number]>([
    [
      'PATCH to what it is already',
      () =>
        admin('PATCH', '/tenants/still', {
          ...{ labels: { a: '1' }, name: 'still' },
          limits: { tokens_per_day: 9, tokens_per_minute: null },
        }),
      200,
    ],
    ['PATCH of nothing', () => admin('PATCH', '/tenants/still', {}), 200],
    [
      'PUT to what it is already',
      () => admin('PUT', '/tiers/premium', { priority: -10, description: 'Served before the others' }),
      200,
    ],
    ['resume of an active tenant', () => admin('POST', '/tenants/still/resume'), 200],
    ['suspend of a suspended tenant', () => admin('POST', '/tenants/blocked/suspend'), 200],
    ['revoke of a revoked key', () => admin('POST', `/keys/${key}/revoke`, { reason: 'y' }), 200],
    ['revoke of a revoked secret', () => admin('POST', `/keys/${key}/secrets/${secret}/revoke`), 200],
    ['a rotation of signing keys that is fixed already', () => admin('POST', '/signing-keys/rotate'), 200],
    ['an invalid request', () => admin('PATCH', '/tenants/still', { tier: 'nope' }), 400],
    ['a conflict that we find', () => admin('POST', `/keys/${key}/enable`), 409],
    ['a conflict that a constraint finds', () => admin('DELETE', '/tiers/standard'), 409],
    ['a read', () => admin('GET', '/tenants/still'), 200],
  ])('%s', async (_, ask, status) => {
    const { answer, audit, feed } = await written(ask)
    expect({ status: answer.status, audit, feed }).toEqual({ status, audit: [], feed: [] })
  })
})
