import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, parseCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { NO_SERVER, startReplica } from '../support/replicas.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { callerOf, issue } from './admins.ts'

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  await admin('POST', '/tenants', { id: 'acme' })
})
afterAll(() => mintmark.stop())

const YEAR_MS = 365 * 86_400_000
const inMs = (ms: number) => new Date(Date.now() + ms).toISOString()

describe('POST /admin-tokens', () => {
  it('returns the secret once, in the format of design.md §3, and its location', async () => {
    const { status, headers, body } = await admin('POST', '/admin-tokens', { name: 'ci', role: 'operator' })
    expect({ status, location: headers.get('location'), cache: headers.get('cache-control') }).toEqual({
      status: 201,
      location: `/admin/v1/admin-tokens/${body.id}`,
      cache: 'no-store',
    })
    expect(body.secret).toMatch(/^mma_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/)
    expect(parseCredential(body.secret)).toEqual({ prefix: 'mma', id: body.id.slice('adm_'.length) })
    const { secret, ...shown } = body
    expect(shown).toEqual({
      id: expect.stringMatching(/^adm_[0-9A-Za-z]{16}$/),
      name: 'ci',
      role: 'operator',
      tenant: null,
      audiences: null,
      state: 'active',
      expires_at: expect.any(String),
      created_by: 'root',
      created_at: expect.any(String),
      last_used_at: null,
      revoked_at: null,
      revoked_reason: null,
    })
    expect((await admin('GET', `/admin-tokens/${body.id}`)).body).toEqual(shown)
    expect((await admin('GET', '/admin-tokens')).text).not.toContain(secret)
  })

  it('stores nothing that the secret could be derived from', async () => {
    const { secret } = await issue(mintmark, 'auditor')
    const [row] = await mintmark.database.asOwner(
      'SELECT count(*)::int AS found FROM admin_tokens AS t WHERE t::text LIKE $1',
      [`%${secret.slice(21)}%`],
    )
    expect(row).toEqual({ found: 0 })
  })

  it('expires after the policy’s longest lifetime by default', async () => {
    const end = Date.parse((await admin('POST', '/admin-tokens', { role: 'owner' })).body.expires_at)
    expect(Math.abs(end - Date.now() - YEAR_MS)).toBeLessThan(60_000)
    const expires_at = new Date(Date.now() + 60_000).toISOString()
    expect((await admin('POST', '/admin-tokens', { role: 'owner', expires_at })).body.expires_at).toBe(
      expires_at,
    )
  })

  it.each<[string, object, string]>([
    ['a role that there is not', { role: 'root' }, '/role'],
    ['no role', {}, '/role'],
    ['a tenant-admin of no tenant', { role: 'tenant-admin' }, '/tenant'],
    ['an operator of a tenant', { role: 'operator', tenant: 'acme' }, '/tenant'],
    ['an unknown tenant', { role: 'tenant-admin', tenant: 'nobody' }, '/tenant'],
    ['an end in the past', { role: 'auditor', expires_at: inMs(-1000) }, '/expires_at'],
    ['an end beyond the policy', { role: 'auditor', expires_at: inMs(YEAR_MS + 90_000) }, '/expires_at'],
    ['no end', { role: 'auditor', expires_at: null }, '/expires_at'],
    ['a field of another object', { role: 'auditor', scopes: [] }, '/scopes'],
  ])('refuses %s by name', async (_, body, pointer) => {
    const answer = await admin('POST', '/admin-tokens', body)
    expect([answer.status, answer.body.errors?.[0].pointer]).toEqual([400, pointer])
  })
})

describe('An admin token', () => {
  it('is the actor of its changes', async () => {
    const operator = await issue(mintmark, 'operator')
    await operator.call('POST', '/tenants', { id: 'by-operator' })
    const rows = await mintmark.database.asOwner(
      "SELECT actor, action, source FROM audit_events WHERE target_id = 'by-operator'",
    )
    expect(rows).toEqual([{ actor: operator.id, action: 'tenant.create', source: '127.0.0.1' }])
  })

  it('works on every replica at once, and is rejected on every replica at once', async () => {
    const replica = await startReplica(mintmark)
    try {
      const owner = await issue(mintmark, 'owner')
      const there = { id: owner.id, secret: owner.secret }
      const elsewhere = callerOf(replica, there)
      expect((await elsewhere.call('GET', '/tenants')).status).toBe(200)
      await admin('POST', `/admin-tokens/${owner.id}/revoke`, {})
      expect((await elsewhere.call('GET', '/tenants')).status).toBe(401)
      expect((await owner.call('GET', '/tenants')).status).toBe(401)
    } finally {
      await replica.stop()
    }
  })

  it('gets the same response when expired, revoked or unknown; the log distinguishes them', async () => {
    const expired = await issue(mintmark, 'auditor')
    await mintmark.database.asOwner(
      "UPDATE admin_tokens SET expires_at = now() - interval '1 s' WHERE id = $1",
      [expired.id],
    )
    const revoked = await issue(mintmark, 'auditor')
    await admin('POST', `/admin-tokens/${revoked.id}/revoke`, {})
    const other = await startTestService()
    const unknown = await issue(other, 'auditor')
    await other.stop()
    const texts: string[] = []
    for (const { secret } of [expired, revoked, unknown]) {
      const answer = await callerOf(mintmark, { id: '', secret }).call('GET', '/tenants')
      expect(answer.status).toBe(401)
      expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="mintmark-admin"')
      texts.push(answer.text.replace(/"request_id":"[^"]*"/, ''))
    }
    expect(new Set(texts).size).toBe(1)
    const reasons = mintmark.logs.map(line => JSON.parse(line)).flatMap(line => line.reason ?? [])
    expect(reasons).toEqual(expect.arrayContaining(['expired', 'revoked', 'unknown']))
  })

  it('shows its last use, to the minute', async () => {
    const auditor = await issue(mintmark, 'auditor')
    const used = async () => (await admin('GET', `/admin-tokens/${auditor.id}`)).body.last_used_at
    expect(await used()).toBeNull()
    await auditor.call('GET', '/tenants')
    const first = await until('the use is noted', used)
    await auditor.call('GET', '/tenants')
    expect(await used()).toBe(first)
    await mintmark.database.asOwner(
      "UPDATE admin_tokens SET last_used_at = now() - interval '61 s' WHERE id = $1",
      [auditor.id],
    )
    await auditor.call('GET', '/tenants')
    await until('the next use is noted', used, at => Date.parse(at) > Date.now() - 30_000)
  })

  it('is accepted also when its last use cannot be stored, which is logged', async () => {
    const { asOwner } = mintmark.database
    const auditor = await issue(mintmark, 'auditor')
    await asOwner(
      "CREATE FUNCTION refuse_use() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$",
    )
    await asOwner(
      `CREATE TRIGGER refuse_use AFTER UPDATE OF last_used_at ON admin_tokens
       FOR EACH ROW WHEN (OLD.id = '${auditor.id}') EXECUTE FUNCTION refuse_use()`,
    )
    const logged = () =>
      mintmark.logs.map(line => JSON.parse(line)).find(line => line.admin_token === auditor.id)
    expect((await auditor.call('GET', '/tenants')).status).toBe(200)
    expect(await until('it is logged', logged)).toMatchObject({
      level: 'warn',
      msg: 'last use of an admin token not stored',
      err: { cause: { message: expect.stringContaining('refused') } },
    })
    await asOwner('DROP TRIGGER refuse_use ON admin_tokens')
  })

  it('is revoked irreversibly, and the first reason is kept', async () => {
    const token = await issue(mintmark, 'auditor')
    const revoke = (reason: string) => admin('POST', `/admin-tokens/${token.id}/revoke`, { reason })
    expect((await revoke('left')).body).toMatchObject({ state: 'revoked', revoked_reason: 'left' })
    expect((await revoke('again')).body).toMatchObject({ state: 'revoked', revoked_reason: 'left' })
    const events = await mintmark.database.asOwner(
      "SELECT count(*)::int AS count FROM audit_events WHERE action = 'admin-token.revoke' AND target_id = $1",
      [token.id],
    )
    expect(events).toEqual([{ count: 1 }])
  })

  it('also revokes the tokens that it issued, directly or indirectly, with cascade', async () => {
    const owner = await issue(mintmark, 'owner')
    const made = await owner.call('POST', '/admin-tokens', { role: 'tenant-admin', tenant: 'acme' })
    const child = callerOf(mintmark, made.body)
    const grandchild = callerOf(
      mintmark,
      (await child.call('POST', '/admin-tokens', { role: 'tenant-admin', tenant: 'acme' })).body,
    )
    const statuses = async () =>
      [
        await owner.call('GET', '/keys'),
        await child.call('GET', '/keys'),
        await grandchild.call('GET', '/keys'),
      ].map(({ status }) => status)
    const revoke = (body: object, headers = {}) =>
      admin('POST', `/admin-tokens/${owner.id}/revoke`, body, headers)
    expect((await revoke({ cascade: true, dry_run: true })).body.would_revoke).toBe(3)
    const stale = { 'if-match': '"another"' }
    for (const dry_run of [true, false])
      expect((await revoke({ cascade: true, dry_run }, stale)).status).toBe(412)
    expect(await statuses()).toEqual([200, 200, 200])
    await revoke({})
    expect(await statuses()).toEqual([401, 200, 200])
    expect((await revoke({ cascade: true, dry_run: true })).body.would_revoke).toBe(2)
    await revoke({ cascade: true })
    expect(await statuses()).toEqual([401, 401, 401])
  })

  it('is deleted with its tenant', async () => {
    await admin('POST', '/tenants', { id: 'passing' })
    const bound = await issue(mintmark, 'tenant-admin', 'passing')
    expect((await bound.call('GET', '/tenants/passing')).status).toBe(200)
    await admin('DELETE', '/tenants/passing')
    expect((await bound.call('GET', '/tenants/passing')).status).toBe(401)
    expect((await admin('GET', `/admin-tokens/${bound.id}`)).status).toBe(404)
  })

  it('is not accepted as an API key, nor an API key as an admin token', async () => {
    const { secret } = await mintmark.tenantWithKey()
    expect((await callerOf(mintmark, { id: '', secret }).call('GET', '/tenants')).status).toBe(401)
    const owner = await issue(mintmark, 'owner')
    const exchanged = await mintmark.token({
      grant_type: 'client_credentials',
      client_secret: owner.secret,
    })
    expect([exchanged.status, exchanged.body.error]).toEqual([401, 'invalid_client'])
  })
})

describe('With MINTMARK_ROOT_TOKEN unset', () => {
  it('root is disabled, and admin tokens keep working', async () => {
    const owner = await issue(mintmark, 'owner')
    const { MINTMARK_ROOT_TOKEN: _off, ...environment } = mintmark.environment
    const rootless = await startTestService({
      database: mintmark.database,
      env: { ...environment, MINTMARK_ROOT_TOKEN: '' },
    })
    try {
      const status = async (token: string) =>
        (
          await request(`${rootless.service.urls.admin}/admin/v1/tenants`, {
            headers: { authorization: `Bearer ${token}` },
          })
        ).status
      expect(await status(mintmark.rootToken)).toBe(401)
      expect(await status(owner.secret)).toBe(200)
      expect(rootless.logs.join('')).toContain('the admin API accepts admin tokens only')
    } finally {
      await rootless.stop()
    }
  })
})

describe('Failed logins', () => {
  it('are limited by source address: 429 with Retry-After, except for root and tokens that were valid before', async () => {
    const limited = await startReplica(mintmark, { MINTMARK_ADMIN_FAILURES_PER_MINUTE: '5' })
    try {
      const [known, fresh] = [await issue(mintmark, 'auditor'), await issue(mintmark, 'auditor')]
      const status = async (secret: string) =>
        (await callerOf(limited, { id: '', secret }).call('GET', '/tenants')).status
      for (let count = 0; count < 8; count++) expect(await status(known.secret)).toBe(200)
      const guesses = await Promise.all(
        Array.from({ length: 20 }, () =>
          status(formatCredential('mma', randomId(systemRandom), systemRandom)),
        ),
      )
      expect(guesses.filter(each => each === 401)).toHaveLength(5)
      expect(guesses.filter(each => each === 429)).toHaveLength(15)
      const refused = await callerOf(limited, fresh).call('GET', '/tenants')
      expect([refused.status, refused.body.code]).toEqual([429, 'too_many_failures'])
      expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
      expect([await status(known.secret), await status(mintmark.rootToken)]).toEqual([200, 200])
      await admin('POST', `/admin-tokens/${known.id}/revoke`, {})
      expect(
        [await status(known.secret), await status(known.secret)],
        'revoked, it is known no more',
      ).toEqual([401, 429])
    } finally {
      await limited.stop()
    }
  })
})

describe('Logins that are answered 503', () => {
  it('count too: a flood of them could be their cause; a token that was valid before is not limited', async () => {
    const proxy = await TcpProxy.before(mintmark.database.applicationUrl)
    const limited = await startReplica(mintmark, {
      DATABASE_URL: proxy.url,
      DATABASE_URL_DIRECT: NO_SERVER,
      MINTMARK_ADMIN_FAILURES_PER_MINUTE: '3',
    })
    try {
      const known = await issue(mintmark, 'auditor')
      const status = async (secret: string) =>
        (await callerOf(limited, { id: '', secret }).call('GET', '/tenants')).status
      expect(await status(known.secret)).toBe(200)
      await proxy.become('refuse')
      const guesses: number[] = []
      for (let count = 0; count < 5; count++)
        guesses.push(await status(formatCredential('mma', randomId(systemRandom), systemRandom)))
      expect(guesses).toEqual([503, 503, 503, 429, 429])
      expect([await status(known.secret), await status(mintmark.rootToken)]).toEqual([503, 503])
      await proxy.become('none')
      await until(
        'it answers again',
        () => status(known.secret),
        each => each === 200,
      )
    } finally {
      await proxy.become('none')
      await limited.stop()
      await proxy.close()
    }
  })
})

describe('The pepper', () => {
  it('of an admin token is kept while the token is live, and its next use stores it under the new one', async () => {
    const owner = await issue(mintmark, 'owner')
    const [older] = (mintmark.environment.MINTMARK_PEPPERS ?? '').split(',')
    const newer = `p2:${randomBytes(32).toString('base64url')}`
    const changing = await startReplica(mintmark, { MINTMARK_PEPPERS: `${newer},${older}` })
    const pepperOf = async () => {
      const [row] = await mintmark.database.asOwner<{ pepper_id: string }>(
        'SELECT pepper_id FROM admin_tokens WHERE id = $1',
        [owner.id],
      )
      return row?.pepper_id
    }
    try {
      expect((await callerOf(changing, owner).call('GET', '/tenants')).status).toBe(200)
      await until('it is re-digested', pepperOf, id => id === 'p2')
      expect((await callerOf(changing, owner).call('GET', '/tenants')).status).toBe(200)
    } finally {
      await changing.stop()
    }
  })
})
