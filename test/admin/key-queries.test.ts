import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { type Caller, issue } from './admins.ts'

const clock = promptedClock()
let mintmark: TestService
let admin: TestService['admin']
let own: Awaited<ReturnType<TestService['tenantWithKey']>>
let foreign: Awaited<ReturnType<TestService['tenantWithKey']>>
let acme: Caller
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
  ;({ admin } = mintmark)
  own = await mintmark.tenantWithKey({ id: 'acme' }, { name: 'own', labels: { team: 'ml', env: 'prod' } })
  foreign = await mintmark.tenantWithKey({ id: 'rival' }, { name: 'foreign', labels: { team: 'web' } })
  acme = await issue(mintmark, 'tenant-admin', 'acme')
})
afterAll(() => mintmark.stop())

describe('POST /keys/inspect', () => {
  const inspect = (key: string, call = admin) => call('POST', '/keys/inspect', { key })

  it('identifies the key of a string, without counting as a use and without echoing it', async () => {
    const { status, body, text } = await inspect(` ${own.secret}\n`)
    expect([status, body.well_formed, body.key.id, body.secret_id]).toEqual([
      200,
      true,
      own.keyId,
      own.secretId,
    ])
    expect(text).not.toContain(own.secret)
    expect((await admin('GET', `/keys/${own.keyId}`)).body.secrets[0].last_used_at).toBeNull()
  })

  it('identifies a revoked key, too', async () => {
    const gone = await mintmark.tenantWithKey()
    await admin('POST', `/keys/${gone.keyId}/revoke`, {})
    expect((await inspect(gone.secret)).body.key.state).toBe('revoked')
  })

  it.each([
    ['no key at all', () => 'hunter2', false],
    ['a typing error', () => `${own.secret.slice(0, -1)}!`, false],
    ['an admin token', () => acme.secret, false],
  ])('reports %s', async (_, text, well_formed) => {
    expect((await inspect(text())).body).toEqual({ well_formed, key: null, secret_id: null })
  })

  it('reveals nothing of another tenant to a tenant-admin', async () => {
    expect((await inspect(own.secret, acme.call)).body.key.id).toBe(own.keyId)
    expect((await inspect(foreign.secret, acme.call)).body).toEqual({
      well_formed: true,
      key: null,
      secret_id: null,
    })
  })
})

describe('GET /keys/{id}/exchanges', () => {
  it('counts exchanges by day', async () => {
    const today = () => new Date().toISOString().slice(0, 10)
    const used = await mintmark.tenantWithKey()
    const days = new Set([today()])
    for (let count = 0; count < 3; count++)
      await mintmark.token({ grant_type: 'client_credentials', client_secret: used.secret })
    const counted: { day: string; outcome: string; count: number }[] = await until(
      'the exchanges are counted',
      async () => {
        await clock.runJobs()
        return (await admin('GET', `/keys/${used.keyId}/exchanges?days=2`)).body.data
      },
      data => data.reduce((sum: number, { count }: { count: number }) => sum + count, 0) === 3,
    )
    // Two days, if one began meanwhile.
    days.add(today())
    expect(counted.length).toBeLessThanOrEqual(days.size)
    for (const { day, outcome } of counted) expect([days.has(day), outcome], day).toEqual([true, 'exchanged'])
  })

  it.each(['0', '401', 'x'])('rejects ?days=%s', async days => {
    expect(await admin('GET', `/keys/${own.keyId}/exchanges?days=${days}`)).toMatchObject({ status: 400 })
  })
})

describe('GET /keys filters', () => {
  const names = async (query: string, call = admin) =>
    (await call('GET', `/keys?${query}`)).body.data.map(({ name }: { name: string }) => name).filter(Boolean)
  const later = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()

  it.each<[string, () => string, string[]]>([
    ['a tenant', () => 'tenant=rival', ['foreign']],
    ['a label', () => 'label=team=ml', ['own']],
    ['a label of any value', () => 'label=team', ['foreign', 'own']],
    ['a label that nothing has', () => 'label=team=x', []],
    ['an end before all', () => `expires_before=${later(300)}`, []],
    ['an end after all', () => `expires_before=${later(366)}`, ['foreign', 'own']],
    ['no use, since before they were made', () => `unused_since=${later(-1)}`, []],
    ['no use, until tomorrow', () => `unused_since=${later(1)}&tenant=acme`, ['own']],
  ])('%s', async (_, query, expected) => {
    expect(await names(query())).toEqual(expected)
  })

  it('find the keys that still depend on a pepper, and not those that can no longer be used', async () => {
    const pepper = (id: string, keys: string[]) =>
      mintmark.database.asOwner('UPDATE api_key_secrets SET pepper_id = $1 WHERE key_id = ANY($2)', [
        id,
        keys,
      ])
    const [left, revoked, rotated] = await Promise.all([1, 2, 3].map(() => mintmark.tenantWithKey()))
    const ids = [left, revoked, rotated].map(made => made?.keyId ?? '')
    await pepper('old', ids)
    await admin('POST', `/keys/${ids[1]}/revoke`)
    await admin('POST', `/keys/${ids[2]}/rotate`, { overlap_seconds: 0 })
    const found = async (query: string) =>
      (await admin('GET', `/keys?${query}`)).body.data.map(({ id }: { id: string }) => id)
    expect(await found('pepper=old')).toEqual([ids[0]])
    expect(await found('pepper=nothing')).toEqual([])
    expect((await admin('GET', '/installation')).body.peppers.left_on_others).toEqual({ old: 1 })
    const dry = { filter: { pepper: 'old' }, dry_run: true }
    expect((await admin('POST', '/keys/revoke', dry)).body).toMatchObject({
      would_revoke: 1,
      keys: [{ id: ids[0] }],
    })
    await admin('POST', '/keys/revoke', { filter: { pepper: 'old' } })
    expect((await admin('GET', '/installation')).body.peppers.left_on_others).toEqual({})
  })

  it('name admin tokens and usage reporters that still depend on a pepper, and keep it from being removed', async () => {
    const old = async (table: string, id: string) => {
      await mintmark.database.asOwner(`UPDATE ${table} SET pepper_id = 'old' WHERE id = $1`, [id])
      return id
    }
    const token = await old('admin_tokens', (await issue(mintmark, 'auditor')).id)
    const ended = await old('admin_tokens', (await issue(mintmark, 'auditor')).id)
    await admin('POST', `/admin-tokens/${ended}/revoke`)
    const made = await admin('POST', '/usage-reporters', { audiences: ['vllm'] })
    const reporter = await old('usage_reporters', made.body.id)
    const left = async () => (await admin('GET', '/installation')).body.peppers
    expect(await left()).toMatchObject({
      left_on_others: { old: 2 },
      admin_tokens_left: [token],
      usage_reporters_left: [reporter],
    })
    await admin('POST', `/admin-tokens/${token}/revoke`)
    await admin('DELETE', `/usage-reporters/${reporter}`)
    expect(await left()).toMatchObject({
      ...{ left_on_others: {}, admin_tokens_left: [], usage_reporters_left: [] },
    })
  })

  it('keep a tenant-admin within its tenant', async () => {
    expect(await names('label=team', acme.call)).toEqual(['own'])
    for (const tenant of ['rival', 'nobody'])
      expect((await acme.call('GET', `/keys?tenant=${tenant}`)).status).toBe(404)
  })

  it('are part of a cursor', async () => {
    const { body } = await admin('GET', '/keys?label=team&limit=1')
    const follow = (query: string) => admin('GET', `/keys?${query}&cursor=${body.next_cursor}`)
    expect((await follow('label=team')).body.data).toHaveLength(1)
    expect((await follow('label=env')).status).toBe(400)
    expect((await follow('tenant=acme')).status).toBe(400)
  })

  it.each([
    'label=%00',
    'expires_before=soon',
    'unused_since=1',
    'tenant=A',
    'pepper=a:b',
    `label=${'x'.repeat(301)}`,
  ])('reject ?%s', async query => {
    expect((await admin('GET', `/keys?${query}`)).status).toBe(400)
  })

  it.each([
    ['a label', 'label=far=yes'],
    ['a label of any value', 'label=far'],
    ['an end', 'expires_before=2020-06-01T00:00:00Z'],
    ['no use', 'unused_since=2020-06-01T00:00:00Z'],
    ['all of them', 'label=far&expires_before=2020-06-01T00:00:00Z&unused_since=2020-06-01T00:00:00Z'],
  ])('find keys thousands of keys apart, newest first and page by page: %s', async (_, query) => {
    const places = [8_191, 8_192, 16_383, 300_000, 300_001]
    await mintmark.database.asOwner(
      `INSERT INTO api_keys (id, seq, tenant_id, name, labels, scopes, created_at, expires_at) OVERRIDING SYSTEM VALUE
       SELECT 'key_' || lpad(seq::text, 16, '0'), seq, 'acme', seq::text, '{"far": "yes"}', '{inference}', '2020-01-01', '2020-01-02'
       FROM unnest($1::int[]) AS seq ON CONFLICT DO NOTHING`,
      [places],
    )
    const seen: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const { body } = await admin('GET', `/keys?${query}&limit=2${cursor && `&cursor=${cursor}`}`)
      seen.push(...body.data.map(({ name }: { name: string }) => name))
      cursor = body.next_cursor
    }
    expect(seen).toEqual(places.map(String).reverse())
  })

  it('exclude a key once one of its secrets was used, whatever the stored day of use', async () => {
    const { keyId, secretId } = await mintmark.tenantWithKey({ id: 'idle' }, { labels: { idle: 'yes' } })
    await mintmark.database.asOwner("UPDATE api_keys SET created_at = '2020-01-01' WHERE id = $1", [keyId])
    const since = '2024-01-01T12:00:00Z'
    const found = async () => (await admin('GET', `/keys?label=idle&unused_since=${since}`)).body.data.length
    const used = (at: string) =>
      mintmark.database.asOwner('UPDATE api_key_secrets SET last_used_at = $1 WHERE id = $2', [at, secretId])
    expect(await found()).toBe(1)
    await used('2024-01-01T11:59:59Z')
    expect(await found()).toBe(1)
    const storedDay = (day: string) =>
      mintmark.database.asOwner('UPDATE api_keys SET last_used_on = $1 WHERE id = $2', [day, keyId])
    await storedDay('2024-01-01')
    expect(await found()).toBe(1)
    await used('2024-01-01T12:00:00Z')
    expect(await found()).toBe(0)
  })
})
