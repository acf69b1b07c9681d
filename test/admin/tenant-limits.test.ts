import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { cliOf } from '../cli/mintmark.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startReplica } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { callerOf, issue } from './admins.ts'

const clock = promptedClock()
let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
})
afterAll(() => mintmark.stop())
afterEach(() => policy({ max_live_keys_per_tenant: 10_000, tenant_writes_per_minute: 300 }))

async function policy(change: object): Promise<void> {
  const { status, text } = await mintmark.admin('PATCH', '/installation', { policy: change })
  expect(status, text).toBe(200)
}
let tenants = 0
async function aTenant(): Promise<string> {
  const id = `limited-${++tenants}`
  await mintmark.admin('POST', '/tenants', { id })
  return id
}
const create = (tenant: string, key: object = {}, at = mintmark) =>
  at.admin('POST', `/tenants/${tenant}/keys`, key)
const live = async (tenant: string) =>
  (await mintmark.admin('GET', `/tenants/${tenant}/keys?limit=100`)).body.data.filter(
    ({ state }: { state: string }) => state === 'active' || state === 'disabled',
  ).length

describe('the policy', () => {
  it('has both limits, by default 10,000 live keys and 300 changes a minute; a change of them is audited', async () => {
    const { body } = await mintmark.admin('GET', '/installation')
    expect(body.policy).toMatchObject({ max_live_keys_per_tenant: 10_000, tenant_writes_per_minute: 300 })
    const { run } = cliOf(mintmark)
    await run(
      'installation',
      'update',
      '--max-live-keys-per-tenant',
      '50',
      '--tenant-writes-per-minute',
      '60',
    )
    const after = await mintmark.admin('GET', '/installation')
    expect(after.body.policy).toMatchObject({ max_live_keys_per_tenant: 50, tenant_writes_per_minute: 60 })
    const events = await mintmark.admin('GET', '/audit-events?action=installation.update&limit=1')
    expect(events.body.data[0].changes).toMatchObject({
      maxLiveKeysPerTenant: { from: 10_000, to: 50 },
      tenantWritesPerMinute: { from: 300, to: 60 },
    })
  })

  it.each(['max_live_keys_per_tenant', 'tenant_writes_per_minute'])(
    'refuses 0 and fractions as %s',
    async name => {
      for (const value of [0, 1.5, -1, '10', null]) {
        const { status, body } = await mintmark.admin('PATCH', '/installation', { policy: { [name]: value } })
        expect([status, body.errors[0].pointer]).toEqual([400, `/policy/${name}`])
      }
    },
  )
})

describe('live keys of a tenant', () => {
  it('are limited: 409 with the limit and the cure, until one is revoked', async () => {
    await policy({ max_live_keys_per_tenant: 2 })
    const [tenant, other] = [await aTenant(), await aTenant()]
    const first = await create(tenant)
    await mintmark.admin('POST', `/keys/${first.body.id}/disable`)
    expect((await create(tenant)).status).toBe(201)
    const refused = await create(tenant)
    expect([refused.status, refused.body.code]).toEqual([409, 'too_many_keys'])
    expect(refused.body.detail).toContain('more than 2 live keys')
    expect(refused.body.detail).toContain('max_live_keys_per_tenant')
    expect((await create(other)).status).toBe(201)
    await mintmark.admin('POST', `/keys/${first.body.id}/revoke`, {})
    expect((await create(tenant)).status).toBe(201)
    expect(await live(tenant)).toBe(2)
  })

  it('are never more than the limit, however many are created at once on two replicas', async () => {
    await policy({ max_live_keys_per_tenant: 5 })
    const tenant = await aTenant()
    const other = await startReplica(mintmark)
    try {
      const answers = await Promise.all(
        Array.from({ length: 24 }, (_, index) => create(tenant, {}, index % 2 ? other : mintmark)),
      )
      const statuses = answers.map(({ status }) => status)
      // 503: the lock of the audit trail was not free in time.
      expect(statuses.filter(status => ![201, 409, 503].includes(status))).toEqual([])
      expect(await live(tenant)).toBe(statuses.filter(status => status === 201).length)
      expect(await live(tenant)).toBeLessThanOrEqual(5)
      while ((await create(tenant)).status === 201);
      expect(await live(tenant)).toBe(5)
    } finally {
      await other.stop()
    }
  })

  it('do not include expired ones, and one that is given a later end counts again', async () => {
    await policy({ max_live_keys_per_tenant: 1 })
    const tenant = await aTenant()
    const { body: old } = await create(tenant)
    await mintmark.database.asOwner(
      "UPDATE api_keys SET expires_at = now() - interval '1 minute' WHERE id = $1",
      [old.id],
    )
    const { body: current } = await create(tenant)
    expect((await mintmark.admin('PATCH', `/keys/${old.id}`, { name: 'renamed' })).status).toBe(200)
    const expires_at = new Date(Date.now() + 3_600_000).toISOString()
    const revived = await mintmark.admin('PATCH', `/keys/${old.id}`, { expires_at })
    expect([revived.status, revived.body.code]).toEqual([409, 'too_many_keys'])
    expect((await mintmark.admin('PATCH', `/keys/${current.id}`, { expires_at })).status).toBe(200)
    await mintmark.admin('POST', `/keys/${current.id}/revoke`, {})
    expect((await mintmark.admin('PATCH', `/keys/${old.id}`, { expires_at })).status).toBe(200)
  })

  it('keep working when the limit is lowered, and can be rotated', async () => {
    const tenant = await aTenant()
    const keys = [await create(tenant), await create(tenant)]
    await policy({ max_live_keys_per_tenant: 1 })
    for (const { body } of keys) {
      const exchange = { grant_type: 'client_credentials', client_secret: body.secret }
      expect((await mintmark.token(exchange)).status).toBe(200)
      expect((await mintmark.admin('POST', `/keys/${body.id}/rotate`, {})).status).toBe(201)
      expect((await mintmark.admin('PATCH', `/keys/${body.id}`, { name: 'renamed' })).status).toBe(200)
    }
    expect((await create(tenant)).status).toBe(409)
  })

  it('are limited in an import as well: each client without room is named, and none is imported', async () => {
    await policy({ max_live_keys_per_tenant: 3 })
    const tenant = await aTenant()
    await create(tenant)
    const hash = createHash('sha256').update('x').digest('hex')
    const clients = ['a', 'b', 'c', 'd'].map(name => ({
      client_id: `${tenant}-${name}`,
      tenant,
      scheme: 'sha256',
      hash,
    }))
    const dry = await mintmark.admin('POST', '/imported-clients?dry_run=true', { clients })
    expect(dry.body).toMatchObject({ created: 2, refused: 2 })
    const refused = await mintmark.admin('POST', '/imported-clients', { clients })
    expect([refused.status, refused.body.errors.map((fault: { pointer: string }) => fault.pointer)]).toEqual([
      400,
      ['/clients/2/tenant', '/clients/3/tenant'],
    ])
    expect(refused.body.errors[0].message).toContain('3 live keys (max_live_keys_per_tenant)')
    expect(await live(tenant)).toBe(1)
    const two = clients.slice(0, 2)
    expect((await mintmark.admin('POST', '/imported-clients', { clients: two })).body).toMatchObject({
      created: 2,
    })
    // Repeated without effect: they need no room.
    expect((await mintmark.admin('POST', '/imported-clients', { clients: two })).body).toMatchObject({
      exists: 2,
    })
  })

  it('are limited when two imports race', async () => {
    await policy({ max_live_keys_per_tenant: 4 })
    const tenant = await aTenant()
    const hash = createHash('sha256').update('x').digest('hex')
    const list = (from: number) =>
      Array.from({ length: 3 }, (_, n) => ({
        client_id: `${tenant}-${from + n}`,
        tenant,
        scheme: 'sha256',
        hash,
      }))
    const answers = await Promise.all(
      [0, 3, 6].map(from => mintmark.admin('POST', '/imported-clients', { clients: list(from) })),
    )
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(await live(tenant)).toBe(3)
  })
})

describe('changes by the administrators of a tenant', () => {
  it('are limited per minute: 429 with Retry-After, counted for all its tokens, whatever became of them', async () => {
    const [tenant, other] = [await aTenant(), await aTenant()]
    const [one, two] = [
      await issue(mintmark, 'tenant-admin', tenant),
      await issue(mintmark, 'tenant-admin', tenant),
    ]
    await policy({ tenant_writes_per_minute: 3 })
    const made = await callerOf(mintmark, one).call('POST', `/tenants/${tenant}/keys`, {})
    expect(made.status).toBe(201)
    // Refused ones count as well.
    expect(
      (await callerOf(mintmark, two).call('PATCH', `/keys/${made.body.id}`, { tier: 'none' })).status,
    ).toBe(400)
    expect((await callerOf(mintmark, two).call('PATCH', '/keys/key_0000000000000000', {})).status).toBe(404)
    const refused = await callerOf(mintmark, one).call('PATCH', `/keys/${made.body.id}`, { name: 'again' })
    expect([refused.status, refused.body.code]).toEqual([429, 'too_many_writes'])
    expect(refused.body.detail).toContain('3 per minute (tenant_writes_per_minute)')
    expect(refused.headers.get('content-type')).toContain('application/problem+json')
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(60)
    // A stolen token cannot keep the others from revoking it, and what it made.
    const stolen = callerOf(mintmark, two)
    expect((await callerOf(mintmark, one).call('POST', `/admin-tokens/${two.id}/revoke`, {})).status).toBe(
      200,
    )
    expect((await stolen.call('GET', `/keys/${made.body.id}`)).status).toBe(401)
    // Reading is not limited, nor is another tenant, nor an administrator of all.
    expect((await callerOf(mintmark, one).call('GET', `/keys/${made.body.id}`)).body.name).not.toBe('again')
    const others = await issue(mintmark, 'tenant-admin', other)
    expect((await callerOf(mintmark, others).call('POST', `/tenants/${other}/keys`, {})).status).toBe(201)
    expect((await mintmark.admin('PATCH', `/keys/${made.body.id}`, { name: 'renamed' })).status).toBe(200)
    await policy({ tenant_writes_per_minute: 300 })
    expect(
      (await callerOf(mintmark, one).call('PATCH', `/keys/${made.body.id}`, { name: 'again' })).status,
    ).toBe(200)
  })

  it('leave one audit row for many refusals', async () => {
    const tenant = await aTenant()
    const token = await issue(mintmark, 'tenant-admin', tenant)
    await policy({ tenant_writes_per_minute: 1 })
    const answers = await Promise.all(
      Array.from({ length: 21 }, () => callerOf(mintmark, token).call('POST', `/tenants/${tenant}/keys`, {})),
    )
    expect(answers.filter(({ status }) => status === 429)).toHaveLength(20)
    const rows = async () => {
      await clock.runJobs()
      return mintmark.admin('GET', `/audit-events?actor=${token.id}&action=authorization.refuse`)
    }
    const { body } = await until('audited', rows, ({ body }) => body.data.length > 0)
    const counted = body.data.reduce(
      (sum: number, row: { changes: { count: { to: number } } }) => sum + row.changes.count.to,
      0,
    )
    expect(counted).toBe(20)
    expect(body.data.length).toBeLessThanOrEqual(2)
    expect(body.data[0].changes.reason.to).toContain('tenant_writes_per_minute')
  })
})
