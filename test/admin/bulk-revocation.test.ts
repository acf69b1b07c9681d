import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { type Caller, issue } from './admins.ts'

const clock = promptedClock()
let mintmark: TestService
let admin: TestService['admin']
let acme: Caller
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
  ;({ admin } = mintmark)
  for (const id of ['acme', 'rival', 'many']) await admin('POST', '/tenants', { id })
  acme = await issue(mintmark, 'tenant-admin', 'acme')
})
afterAll(() => mintmark.stop())

const revoke = (filter: object, more: object = {}, call = admin) =>
  call('POST', '/keys/revoke', { filter, ...more })
const key = async (tenant: string, fields: object = {}) =>
  (await admin('POST', `/tenants/${tenant}/keys`, fields)).body
const stateOf = async (id: string) => (await admin('GET', `/keys/${id}`)).body.state
/** Rows that an administrator's request has written: the service writes refusals later. */
const written = () =>
  mintmark.database.asOwner(`SELECT (SELECT count(*) FROM change_feed) AS changes,
    (SELECT count(*) FROM audit_events WHERE actor <> 'system' AND action NOT LIKE '%.refuse') AS events`)
const exchange = ({ secret }: { secret: string }) =>
  mintmark.token({ grant_type: 'client_credentials', client_secret: secret })
const now = () => new Date().toISOString()

describe('POST /keys/revoke', () => {
  it('revokes keys with a label, with a reason and an audit row for each, and removes their grants', async () => {
    await admin('PUT', '/models/short-lived', {})
    const leaked = { labels: { leak: 'july' }, models: ['short-lived'] }
    const [one, two] = [await key('acme', leaked), await key('rival', leaked)]
    const spared = await key('acme', { labels: { leak: 'august' } })
    const { status, body } = await revoke({ label: 'leak=july' }, { reason: 'in a public repository' })
    expect([status, body]).toEqual([
      200,
      {
        dry_run: false,
        revoked: 2,
        left: 0,
        keys: [
          { id: two.id, tenant: 'rival', name: '' },
          { id: one.id, tenant: 'acme', name: '' },
        ],
      },
    ])
    for (const { id } of [one, two]) {
      const shown = (await admin('GET', `/keys/${id}`)).body
      expect(shown).toMatchObject({ state: 'revoked', revoked_reason: 'in a public repository', models: [] })
      const events = (await admin('GET', `/audit-events?target=${id}&action=key.revoke`)).body.data
      expect(events).toMatchObject([
        {
          changes: {
            models: { from: ['short-lived'], to: [] },
            revokedReason: { to: 'in a public repository' },
          },
        },
      ])
    }
    expect(await stateOf(spared.id)).toBe('active')
    expect((await admin('DELETE', '/models/short-lived')).status).toBe(204)
    expect((await revoke({ label: 'leak=july' })).body).toMatchObject({ revoked: 0, left: 0 })
  })

  it('combines all filters: creation, use and end', async () => {
    const early = await key('acme', { name: 'early' })
    const between = now()
    const late = await key('acme', { name: 'late' })
    const of = (filter: object) => revoke({ tenant: 'acme', ...filter }, { dry_run: true })
    const names = async (filter: object) =>
      (await of(filter)).body.keys.map(({ name }: { name: string }) => name)
    expect(await names({ created_after: between })).toEqual(['late'])
    expect(await names({ created_before: between })).toContain('early')
    expect(await names({ created_before: between })).not.toContain('late')
    expect(await names({ created_after: between, created_before: between })).toEqual([])
    expect(await names({ expires_before: between })).toEqual([])
    expect(await names({ unused_since: now(), created_after: between })).toEqual(['late'])
    await exchange(late)
    await until('the use is written', async () => {
      await clock.runJobs()
      return !(await names({ unused_since: between })).includes('late')
    })
    expect([await stateOf(early.id), await stateOf(late.id)]).toEqual(['active', 'active'])
  })

  it('revokes disabled and expired keys too, which could be enabled or extended later', async () => {
    const labels = { old: 'yes' }
    const [disabled, expired] = [await key('rival', { labels }), await key('rival', { labels })]
    await admin('POST', `/keys/${disabled.id}/disable`, {})
    await mintmark.database.asOwner('UPDATE api_keys SET expires_at = now() WHERE id = $1', [expired.id])
    expect((await revoke({ label: 'old' })).body.revoked).toBe(2)
    expect([await stateOf(disabled.id), await stateOf(expired.id)]).toEqual(['revoked', 'revoked'])
  })

  it('with dry_run returns the keys and their number, and writes nothing', async () => {
    const labels = { dry: 'run' }
    const keys = [await key('acme', { labels }), await key('acme', { labels })]
    const before = await written()
    const { status, body } = await revoke({ label: 'dry' }, { dry_run: true, reason: 'to see' })
    expect([status, body]).toEqual([
      200,
      {
        dry_run: true,
        would_revoke: 2,
        keys: keys.reverse().map(({ id }) => ({ id, tenant: 'acme', name: '' })),
      },
    ])
    expect(await written()).toEqual(before)
    for (const each of keys) expect((await exchange(each)).status).toBe(200)
  })

  it.each<[string, object, string]>([
    ['no filter', {}, '/filter'],
    ['an empty filter', { filter: {} }, ''],
    ['a filter that is null', { filter: null }, '/filter'],
    ['a filter that is not known', { filter: { tenant: 'acme', state: 'active' } }, '/filter/state'],
    ['a time that is none', { filter: { created_before: 'yesterday' } }, '/filter/created_before'],
    ['a label with a NUL', { filter: { label: 'a\0b' } }, '/filter/label'],
    ['a dry run that is text', { filter: { tenant: 'acme' }, dry_run: 'true' }, '/dry_run'],
  ])('is 400 with %s', async (_, body, pointer) => {
    const answer = await admin('POST', '/keys/revoke', body)
    expect(answer.status).toBe(400)
    expect(answer.body.errors[0].pointer).toBe(pointer || '/filter')
  })

  it('is 404 for an unknown tenant', async () => {
    expect(await revoke({ tenant: 'nobody' })).toMatchObject({ status: 404 })
    expect(await revoke({ tenant: 'nobody' }, { dry_run: true })).toMatchObject({ status: 404 })
  })
})

describe('A tenant-admin', () => {
  it('revokes keys of its own tenant, whatever a filter would match elsewhere', async () => {
    const labels = { shared: 'yes' }
    const [own, foreign] = [await key('acme', { labels }), await key('rival', { labels })]
    for (const dry_run of [true, false]) {
      const { status, text, body } = await revoke({ label: 'shared' }, { dry_run }, acme.call)
      expect([status, body.keys.map(({ id }: { id: string }) => id)]).toEqual([200, [own.id]])
      expect(text).not.toContain('rival')
    }
    expect([await stateOf(own.id), await stateOf(foreign.id)]).toEqual(['revoked', 'active'])
  })

  it('gets the same response for other tenants as for unknown ones', async () => {
    const hidden = ({ status, text }: { status: number; text: string }, tenant: string) => [
      status,
      text.replaceAll(tenant, '…').replaceAll(/"request_id":"[^"]*"/g, ''),
    ]
    const foreign = await revoke({ tenant: 'rival' }, {}, acme.call)
    expect(foreign.status).toBe(404)
    expect(hidden(foreign, 'rival')).toEqual(
      hidden(await revoke({ tenant: 'nobody' }, {}, acme.call), 'nobody'),
    )
  })

  it('must also set a filter: its tenant alone must be named', async () => {
    expect((await revoke({}, {}, acme.call)).status).toBe(400)
    expect((await revoke({ tenant: 'acme' }, { dry_run: true }, acme.call)).status).toBe(200)
  })
})

describe('Many keys', () => {
  /** Keys of the tenant `many` with this label and unknown secrets. */
  const make = (batch: string, count: number) =>
    mintmark.database.asOwner(
      `INSERT INTO api_keys (id, tenant_id, name, scopes, labels)
        SELECT 'key_' || substr(md5($1 || n), 1, 16), 'many', n::text, '{inference}', $2 FROM generate_series(1, $3) AS n`,
      [batch, { batch }, count],
    )
  const revocations = (batch: string) =>
    mintmark.database.asOwner(
      `SELECT target_id, count(*)::int AS n FROM audit_events JOIN api_keys ON api_keys.id = target_id
        WHERE action = 'key.revoke' AND labels @> $1 GROUP BY target_id`,
      [{ batch }],
    )

  it('are revoked in several calls until none is left, each once', async () => {
    await make('large', 1_100)
    expect((await revoke({ tenant: 'many' }, { dry_run: true })).body).toMatchObject({ would_revoke: 1_100 })
    const call = (name: string) =>
      admin('POST', '/keys/revoke', { filter: { label: 'batch=large' } }, { 'idempotency-key': name })
    const first = await call('bulk-1')
    expect(first.body, first.text).toMatchObject({ revoked: 500, left: 600 })
    const repeated = await call('bulk-1')
    expect([repeated.headers.get('idempotency-replayed'), repeated.body]).toEqual(['true', first.body])
    for (const [name, revoked, left] of [
      ['bulk-2', 500, 100],
      ['bulk-3', 100, 0],
      ['bulk-4', 0, 0],
    ] as const) {
      expect((await call(name)).body).toMatchObject({ revoked, left })
    }
    const rows = await revocations('large')
    expect([rows.length, rows.filter(({ n }) => n !== 1)]).toEqual([1_100, []])
  })

  it('revoked by two callers concurrently are revoked once each, and neither caller gets `left: 0` too early', async () => {
    await make('raced', 600)
    const both = await Promise.all([1, 2].map(() => revoke({ label: 'batch=raced' })))
    // A caller that waits too long for the other’s locks gets a 503.
    const told = both.filter(({ status }) => status !== 503).map(({ body }) => body)
    expect(told.map(({ revoked }) => revoked)).toContain(500)
    for (const { revoked, left } of told) expect(left).toBe(revoked === 100 ? 0 : 100)
    await revoke({ label: 'batch=raced' })
    const rows = await revocations('raced')
    expect([rows.length, rows.filter(({ n }) => n !== 1)]).toEqual([600, []])
  })
})

describe('DELETE /tenants/{id} with dry_run', () => {
  it('returns what would be deleted with the tenant, and writes nothing', async () => {
    const { tenantId, keyId, secret } = await mintmark.tenantWithKey({ id: 'leaving' })
    const gone = await key(tenantId)
    await admin('POST', `/keys/${gone.id}/revoke`, {})
    await issue(mintmark, 'tenant-admin', tenantId)
    const before = await written()
    const { status, body } = await admin('DELETE', `/tenants/${tenantId}?cascade=true&dry_run=true`)
    expect([status, body]).toEqual([
      200,
      { dry_run: true, would_delete: { tenant: tenantId, keys: 2, live_keys: 1, admin_tokens: 1 } },
    ])
    expect(await written()).toEqual(before)
    expect([await stateOf(keyId), (await exchange({ secret })).status]).toEqual(['active', 200])
  })

  it('is rejected like the deletion itself', async () => {
    const { tenantId } = await mintmark.tenantWithKey()
    const ask = (query: string, headers = {}) =>
      admin('DELETE', `/tenants/${tenantId}?${query}`, undefined, headers)
    expect(await ask('dry_run=true')).toMatchObject({ status: 409, body: { code: 'tenant_has_live_keys' } })
    expect(await ask('cascade=true&dry_run=true', { 'if-match': '"other"' })).toMatchObject({ status: 412 })
    expect(await ask('dry_run=yes')).toMatchObject({
      status: 400,
      body: { errors: [{ pointer: '/dry_run' }] },
    })
  })
})
