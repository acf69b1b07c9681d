import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AuditedRefusals } from '../../src/audit/audited-refusals.ts'
import { Database } from '../../src/database/database.ts'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { type Caller, issue } from '../admin/admins.ts'
import { onlyPromptedClock } from '../support/adjustable-clock.ts'
import { PATIENT } from '../support/patient.ts'
import { startReplica } from '../support/replicas.ts'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** Refusals by role: in the audit trail, under the id of the token. */

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Calls of one test are in one row: nothing is written between them. */
const clock = onlyPromptedClock()
let mintmark: TestService
let auditor: Caller
let tenantAdmin: Caller
let rivalAdmin: Caller
let keyId: string
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
  auditor = await issue(mintmark, 'auditor')
  ;({ keyId } = await mintmark.tenantWithKey({ id: 'acme' }, { scopes: [] }))
  tenantAdmin = await issue(mintmark, 'tenant-admin', 'acme')
  await mintmark.tenantWithKey({ id: 'rival' })
  rivalAdmin = await issue(mintmark, 'tenant-admin', 'rival')
})
afterAll(() => mintmark.stop())

const rowsOf = (actor: string): Promise<object[]> =>
  until(
    'the refusals are written',
    async () => {
      await clock.runJobs()
      return (await mintmark.admin('GET', `/audit-events?actor=${actor}`)).body.data
    },
    list => list.some(({ outcome }: { outcome: string }) => outcome === 'refused'),
  )

const REFUSED: [
  what: string,
  who: () => Caller,
  ask: () => Promise<JsonAnswer>,
  row: object,
  status?: number,
][] = [
  [
    'requests for objects of another tenant, as one row whatever their ids; nothing for unknown ids',
    () => rivalAdmin,
    async () => {
      const ids = [keyId, (await mintmark.tenantWithKey({ id: 'acme-2' })).keyId, 'key_0000000000000000']
      const answers = await Promise.all(ids.map(id => rivalAdmin.call('GET', `/keys/${id}`)))
      return answers[0] as JsonAnswer
    },
    {
      target_id: 'GET /admin/v1/keys/:id',
      changes: { reason: { to: 'The object belongs to another tenant.' }, count: { to: 2 } },
    },
    404,
  ],
  [
    'what an auditor has no right to, however often',
    () => auditor,
    async () => {
      await auditor.call('POST', '/imported-clients', { clients: [] }, { 'idempotency-key': 'once' })
      return auditor.call('POST', '/imported-clients', { clients: [] })
    },
    {
      target_id: 'POST /admin/v1/imported-clients',
      changes: {
        reason: { to: 'Missing right: clients:import. Use a token with a role that has it.' },
        count: { to: 2 },
      },
    },
  ],
  [
    'a key that a tenant-admin would have widened',
    () => tenantAdmin,
    () => tenantAdmin.call('PATCH', `/keys/${keyId}`, { scopes: ['inference'] }),
    {
      target_id: 'PATCH /admin/v1/keys/:id',
      changes: {
        reason: { to: 'A tenant-admin can only restrict a key. The request would extend: scopes.' },
        count: { to: 1 },
      },
    },
  ],
]

describe('a refused authorization is audited', () => {
  it.each(REFUSED)('%s', async (_, who, ask, row, status = 403) => {
    const answer = await ask()
    expect(answer.status, answer.text).toBe(status)
    const { id } = who()
    const refused = {
      actor: id,
      action: 'authorization.refuse',
      outcome: 'refused',
      target_kind: 'operation',
      source: expect.stringContaining('127.0.0.1'),
      request_id: expect.stringMatching(UUID),
    }
    expect(await rowsOf(id)).toMatchObject([{ ...refused, ...row }])
  })
})

it('a login with a revoked token is audited under its id', async () => {
  const revoked = await issue(mintmark, 'operator')
  await mintmark.admin('POST', `/admin-tokens/${revoked.id}/revoke`)
  expect((await revoked.call('GET', '/tenants')).status).toBe(401)
  const rows = await rowsOf(revoked.id)
  const who = { source: expect.stringContaining('127.0.0.1'), request_id: expect.stringMatching(UUID) }
  expect(rows).toMatchObject([{ action: 'login.refuse', ...who, changes: { count: { to: 1 } } }])
  expect(JSON.stringify(rows)).not.toContain(revoked.secret)
})

it('a refusal of the last moment before a stop is audited', async () => {
  const administrator = await issue(mintmark, 'auditor')
  const neverFlushing: Clock = {
    ...systemClock,
    every: (ms, task) => (ms === 5_000 ? () => {} : systemClock.every(ms, task)),
    // How long a stop waits for them.
    sleep: (ms, signal) => systemClock.sleep(ms === 1_000 ? 20_000 : ms, signal),
  }
  const replica = await startReplica(mintmark, {}, { clock: neverFlushing })
  const headers = { authorization: `Bearer ${administrator.secret}` }
  expect((await replica.admin('POST', '/tenants', { id: 'late' }, headers)).status).toBe(403)
  await replica.stop()
  const { body } = await mintmark.admin('GET', `/audit-events?actor=${administrator.id}`)
  expect(body.data).toMatchObject([{ action: 'authorization.refuse', target_id: 'POST /admin/v1/tenants' }])
})

it('logins from thousands of networks are aggregated, and hide no refusal of an administrator', async () => {
  const { applicationUrl: url } = mintmark.database
  const database = new Database({ url, maxConnections: 1, logger: createLogger('silent'), timeouts: PATIENT })
  const refusals = new AuditedRefusals({ database })
  const operation = 'POST /admin/v1/flooded'
  for (let network = 0; network < 3_000; network++) {
    const source = `10.${network >> 8}.${network & 255}.1`
    refusals.note({ action: 'login.refuse', by: { id: 'unknown', source }, operation, reason: 'malformed' })
  }
  const by = { id: 'adm_whoever', source: '192.0.2.1' }
  refusals.note({ action: 'authorization.refuse', by, operation, reason: 'Missing right: x.' })
  await refusals.flush()
  await database.close()
  const { body } = await mintmark.admin('GET', '/audit-events?limit=100')
  const written = body.data.filter((row: { target_id: string }) =>
    [operation, 'others'].includes(row.target_id),
  )
  expect(written).toHaveLength(1 + 20 + 1)
  expect(written.at(-1)).toMatchObject({ action: 'authorization.refuse', actor: by.id, target_id: operation })
  expect(written[0]).toMatchObject({ action: 'login.refuse', target_id: 'others' })
})

it('refusals of an administrator have a row for each operation, failed logins one for each source', async () => {
  const { applicationUrl: url } = mintmark.database
  const database = new Database({ url, maxConnections: 1, logger: createLogger('silent'), timeouts: PATIENT })
  const refusals = new AuditedRefusals({ database })
  const operations = ['POST /admin/v1/first', 'POST /admin/v1/second']
  for (const operation of operations) {
    const by = { id: 'adm_severalRefusals', source: '192.0.2.7' }
    const unknown = { id: 'unknown', source: '192.0.2.7' }
    refusals.note({ action: 'authorization.refuse', by, operation, reason: 'Missing right: x.' })
    refusals.note({ action: 'login.refuse', by: unknown, operation, reason: 'malformed' })
    // Addresses of one network: a client has as many as it likes.
    for (const source of ['2001:db8::7', '2001:db8::8'])
      refusals.note({ action: 'login.refuse', by: { id: 'unknown', source }, operation, reason: 'malformed' })
  }
  await refusals.flush()
  await database.close()
  const { body } = await mintmark.admin('GET', '/audit-events?limit=100')
  const of = (action: string) =>
    body.data.filter(
      (row: { action: string; target_id: string }) =>
        row.action === action && operations.includes(row.target_id),
    )
  expect(of('authorization.refuse')).toHaveLength(2)
  expect(of('login.refuse')).toMatchObject([
    { changes: { count: { to: 4 } } },
    { changes: { count: { to: 2 } } },
  ])
})
