import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jws, newPair, type SigningPair } from '../identity-providers/assertions.ts'
import { startReplica } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { type Caller, callerOf, issue } from './admins.ts'

/** Who created a credential, and that it is revoked with its creator on request. */

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  for (const id of ['acme', 'rival']) await admin('POST', '/tenants', { id })
})
afterAll(() => mintmark.stop())

interface Key {
  id: string
  secret: string
  secret_id: string
}
const inSeconds = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString()
const makeKey = async ({ call }: { call: TestService['admin'] }, tenant = 'acme'): Promise<Key> =>
  (await call('POST', `/tenants/${tenant}/keys`, {})).body
const rotate = async ({ call }: { call: TestService['admin'] }, { id }: Key): Promise<Key> =>
  (await call('POST', `/keys/${id}/rotate`, {})).body
const makeToken = async ({ call }: Caller, role: string, tenant: string | null = null): Promise<Caller> =>
  callerOf(mintmark, (await call('POST', '/admin-tokens', { role, tenant })).body)
const root = { call: (...given: Parameters<TestService['admin']>) => admin(...given) }
const exchange = async ({ secret }: Pick<Key, 'secret'>, at = mintmark) =>
  (await at.token({ grant_type: 'client_credentials', client_secret: secret })).status
const clientAssertion = (pair: SigningPair, clientId: string) => {
  const now = Math.floor(Date.now() / 1000)
  const claims = { iss: clientId, sub: clientId, aud: mintmark.service.issuer }
  return jws(pair, { alg: 'ES256', kid: pair.kid }, { ...claims, jti: randomUUID(), iat: now, exp: now + 60 })
}
const revoke = (id: string, body: object = {}) => admin('POST', `/admin-tokens/${id}/revoke`, body)

describe('An admin token that expires', () => {
  it.each(['owner', 'tenant-admin'] as const)('of an %s makes none that outlives it', async role => {
    const tenant = role === 'tenant-admin' ? 'acme' : null
    const ends = inSeconds(3600)
    const expiring = await issue(mintmark, role, tenant, { expires_at: ends })
    const create = (body: object) => expiring.call('POST', '/admin-tokens', { role, tenant, ...body })
    const later = inSeconds(7200)
    const refused = await create({ expires_at: later })
    expect([refused.status, refused.body.code]).toEqual([403, 'forbidden'])
    expect(refused.body.detail).toContain(ends)
    expect(refused.body.detail).toContain(later)
    expect((await create({})).body.expires_at).toBe(ends)
    const earlier = inSeconds(1800)
    expect((await create({ expires_at: earlier })).body.expires_at).toBe(earlier)
  })

  it('makes none without an end, also where the policy allows that', async () => {
    await admin('PATCH', '/installation', { policy: { unending_keys_allowed: true } })
    try {
      const expiring = await issue(mintmark, 'owner', null, { expires_at: inSeconds(3600) })
      const refused = await expiring.call('POST', '/admin-tokens', { role: 'auditor', expires_at: null })
      expect([refused.status, refused.body.detail]).toEqual([403, expect.stringContaining('never expire')])
      const unending = await issue(mintmark, 'owner', null, { expires_at: null })
      const made = await unending.call('POST', '/admin-tokens', { role: 'auditor', expires_at: null })
      expect([made.status, made.body.expires_at]).toEqual([201, null])
    } finally {
      await admin('PATCH', '/installation', { policy: { unending_keys_allowed: false } })
    }
  })

  it('makes keys of the tenant, which do not end with it', async () => {
    const expiring = await issue(mintmark, 'tenant-admin', 'acme', { expires_at: inSeconds(3600) })
    const { id } = await makeKey(expiring)
    const { body } = await admin('GET', `/keys/${id}`)
    expect(Date.parse(body.expires_at)).toBeGreaterThan(Date.now() + 86_400_000)
  })
})

describe('created_by', () => {
  it('is shown with a key and each of its secrets', async () => {
    const creator = await issue(mintmark, 'tenant-admin', 'acme')
    const key = await makeKey(creator)
    await rotate(root, key)
    const { body } = await admin('GET', `/keys/${key.id}`)
    expect(body.created_by).toBe(creator.id)
    expect(body.secrets.map((secret: { created_by: string }) => secret.created_by)).toEqual([
      'root',
      creator.id,
    ])
    const [listed] = (await admin('GET', `/keys?created_by=${creator.id}`)).body.data
    expect([listed.id, listed.created_by]).toEqual([key.id, creator.id])
  })

  it('is that of the importer for an imported client', async () => {
    const operator = await issue(mintmark, 'operator')
    const client = { client_id: 'old-one', tenant: 'acme', scheme: 'sha256', hash: 'a'.repeat(64) }
    const [row] = (await operator.call('POST', '/imported-clients', { clients: [client] })).body.rows
    const { body } = await admin('GET', `/keys/${row.key}`)
    expect([body.created_by, body.secrets[0].created_by]).toEqual([operator.id, operator.id])
  })

  it('is null where it is not known, and becoming known does not change the version', async () => {
    const { id } = await makeKey(root)
    const etag = async () => (await admin('GET', `/keys/${id}`)).headers.get('etag')
    const known = await etag()
    await mintmark.database.asOwner('UPDATE api_keys SET created_by = NULL WHERE id = $1', [id])
    expect((await admin('GET', `/keys/${id}`)).body.created_by).toBeNull()
    expect(await etag()).toBe(known)
  })

  it('filters lists, alone and with other filters, in pages', async () => {
    const [one, other] = [await issue(mintmark, 'owner'), await issue(mintmark, 'owner')]
    const made: string[] = []
    for (const tenant of ['acme', 'rival', 'acme']) {
      made.unshift((await makeKey(one, tenant)).id)
      await makeKey(other, tenant)
    }
    const ids = async (query: string) => {
      const found: string[] = []
      let cursor: string | null = ''
      while (cursor !== null) {
        const { body }: { body: { data: Key[]; next_cursor: string | null } } = await admin(
          'GET',
          `${query}&limit=1${cursor && `&cursor=${cursor}`}`,
        )
        found.push(...body.data.map(({ id }) => id))
        cursor = body.next_cursor
      }
      return found
    }
    expect(await ids(`/keys?created_by=${one.id}`)).toEqual(made)
    expect(await ids(`/keys?created_by=${one.id}&tenant=rival`)).toEqual([made[1]])
    expect(await ids(`/tenants/acme/keys?created_by=${one.id}`)).toEqual([made[0], made[2]])
    expect(await ids(`/keys?created_by=${one.id}&unused_since=${inSeconds(60)}`)).toEqual(made)
    expect(await ids(`/keys?created_by=${one.id}&label=none`)).toEqual([])
    const { status, body } = await admin('GET', '/keys?created_by=somebody')
    expect([status, body.errors[0].pointer]).toEqual([400, '/created_by'])
  })

  it('filters a revocation, which shows a tenant-admin the keys of its own tenant only', async () => {
    const creator = await issue(mintmark, 'owner')
    const [own, foreign] = [await makeKey(creator), await makeKey(creator, 'rival')]
    const bound = await issue(mintmark, 'tenant-admin', 'acme')
    const filter = { created_by: creator.id }
    const dry = await bound.call('POST', '/keys/revoke', { filter, dry_run: true })
    expect([dry.body.would_revoke, dry.body.keys[0].id]).toEqual([1, own.id])
    expect((await admin('POST', '/keys/revoke', { filter, dry_run: true })).body.would_revoke).toBe(2)
    expect((await admin('POST', '/keys/revoke', { filter })).body).toMatchObject({ revoked: 2, left: 0 })
    expect([await exchange(own), await exchange(foreign)]).toEqual([401, 401])
  })
})

describe('Revoking an admin token', () => {
  it('without cascade ends neither its keys nor the secrets that it added', async () => {
    const creator = await issue(mintmark, 'tenant-admin', 'acme')
    const key = await makeKey(creator)
    const added = await rotate(creator, await makeKey(root))
    expect((await revoke(creator.id)).body.cascade).toBeUndefined()
    expect([await exchange(key), await exchange(added)]).toEqual([200, 200])
  })

  it('with cascade ends what it and its tokens made, on every replica within a second, and nothing else', async () => {
    const replica = await startReplica(mintmark)
    try {
      const owner = await issue(mintmark, 'owner')
      const child = await makeToken(owner, 'tenant-admin', 'acme')
      const grandchild = await makeToken(child, 'tenant-admin', 'acme')
      await revoke(child.id, { reason: 'first' })
      const rootKey = await makeKey(root)
      const gone = [
        await makeKey(owner, 'rival'),
        await makeKey(grandchild),
        await rotate(grandchild, rootKey),
      ]
      const rotatedByRoot = await rotate(root, gone[1] as Key)
      const kept = [rootKey, await makeKey(root), await makeKey(await issue(mintmark, 'owner'))]
      for (const key of [...gone, ...kept, rotatedByRoot]) expect(await exchange(key, replica)).toBe(200)

      const dry = (await revoke(owner.id, { cascade: true, dry_run: true })).body
      expect(dry).toMatchObject({ would_revoke: 2, would_revoke_keys: 2, would_revoke_secrets: 1 })
      expect(dry.admin_tokens.map(({ id }: Key) => id)).toEqual([owner.id, grandchild.id])
      expect(dry.keys.map(({ id }: Key) => id)).toEqual([gone[1]?.id, gone[0]?.id])
      expect(dry.secrets).toEqual([{ id: gone[2]?.secret_id, key: rootKey.id, tenant: 'acme' }])
      for (const key of gone) expect(await exchange(key, replica)).toBe(200)

      const { body } = await revoke(owner.id, { cascade: true, reason: 'left' })
      const ended = [...gone, rotatedByRoot]
      for (const key of ended) expect(await exchange(key)).toBe(401)
      const statuses = () => Promise.all(ended.map(key => exchange(key, replica)))
      await until('the replica rejects them', statuses, all => all.every(status => status === 401))
      expect(body).toMatchObject({
        state: 'revoked',
        cascade: { admin_tokens: 1, keys: 2, secrets: 1, credentials: 0, left: 0 },
      })
      for (const key of kept) expect(await exchange(key, replica)).toBe(200)
      expect((await grandchild.call('GET', '/keys')).status).toBe(401)

      const events = await mintmark.database.asOwner<{ action: string; target_id: string }>(
        `SELECT action, target_id FROM audit_events WHERE actor = 'root' AND changes::text LIKE '%"left"%' ORDER BY id`,
      )
      expect(events.map(({ action, target_id }) => `${action} ${target_id}`)).toEqual([
        `admin-token.revoke ${owner.id}`,
        `admin-token.revoke ${grandchild.id}`,
        `key.revoke ${gone[1]?.id}`,
        `key.revoke ${gone[0]?.id}`,
        `key.secret-revoke ${rootKey.id}`,
      ])
      for (const cascade of [true, false])
        expect((await revoke(owner.id, { cascade, dry_run: true })).body).toMatchObject({
          ...{ would_revoke: 0, admin_tokens: [] },
        })
      const again = await revoke(owner.id, { cascade: true, reason: 'again' })
      expect(again.body.cascade).toEqual({ admin_tokens: 0, keys: 0, secrets: 0, credentials: 0, left: 0 })
    } finally {
      await replica.stop()
    }
  })

  it('with cascade deletes credentials that it added to keys of others, and none of another creator', async () => {
    const replica = await startReplica(mintmark)
    try {
      const creator = await issue(mintmark, 'tenant-admin', 'acme')
      const child = await makeToken(creator, 'tenant-admin', 'acme')
      const { body: key } = await admin('POST', '/tenants/acme/workload-keys', { credential: null })
      const pairs = [newPair('of-maker'), newPair('of-child'), newPair('of-root')] as const
      const added: string[] = []
      for (const [index, { call }] of [creator, child, root].entries()) {
        const jwks = { keys: [pairs[index]?.jwk] }
        const answer = await call('POST', `/keys/${key.key}/credentials`, { type: 'public_key', jwks })
        expect(answer.status, answer.text).toBe(201)
        added.push(answer.body.id)
      }
      const present = (pair: SigningPair, at: TestService) =>
        at.token({
          grant_type: 'client_credentials',
          client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
          client_assertion: clientAssertion(pair, key.key),
        })
      const statuses = (at: TestService) =>
        Promise.all(pairs.map(async pair => (await present(pair, at)).status))
      await until(
        'the replica accepts all',
        () => statuses(replica),
        all => all.join() === '200,200,200',
      )

      const dry = (await revoke(creator.id, { cascade: true, dry_run: true })).body
      expect(dry.would_delete_credentials).toBe(2)
      expect(dry.credentials.map(({ id }: Key) => id)).toEqual([added[1], added[0]])
      const { body } = await revoke(creator.id, { cascade: true, reason: 'stolen' })
      expect(body.cascade).toEqual({ admin_tokens: 1, keys: 0, secrets: 0, credentials: 2, left: 0 })
      expect(await statuses(mintmark)).toEqual([401, 401, 200])
      await until(
        'the replica rejects them',
        () => statuses(replica),
        all => all.join() === '401,401,200',
      )
    } finally {
      await replica.stop()
    }
  })

  it('with cascade ends more objects than fit into one transaction', async () => {
    const creator = await issue(mintmark, 'owner')
    await mintmark.database.asOwner(
      `INSERT INTO api_keys (id, tenant_id, name, scopes, created_by)
       SELECT 'key_' || lpad(n::text, 16, '0'), 'acme', '', '{inference}', $1 FROM generate_series(1, 2100) AS n`,
      [creator.id],
    )
    const first = (await revoke(creator.id, { cascade: true })).body.cascade
    expect(first).toEqual({ admin_tokens: 0, keys: 2000, secrets: 0, credentials: 0, left: 100 })
    expect((await revoke(creator.id, { cascade: true })).body.cascade).toMatchObject({ keys: 100, left: 0 })
  })

  it('leaves no key behind that was being made meanwhile', async () => {
    const creator = await issue(mintmark, 'tenant-admin', 'acme')
    const making = Array.from({ length: 12 }, () => creator.call('POST', '/tenants/acme/keys', {}))
    await Promise.race(making)
    const revoked = await revoke(creator.id, { cascade: true })
    expect([revoked.status, revoked.body.cascade?.left]).toEqual([200, 0])
    const made = (await Promise.all(making)).filter(({ status }) => status === 201)
    expect(made.length).toBeGreaterThan(0)
    for (const { body } of made) expect(await exchange(body)).toBe(401)
    const { body } = await admin('GET', `/keys?created_by=${creator.id}`)
    expect(body.data.every(({ state }: { state: string }) => state === 'revoked')).toBe(true)
  })

  it('stops a change that was begun with it and has not committed', async () => {
    const creator = await issue(mintmark, 'tenant-admin', 'acme')
    const key = await makeKey(creator)
    const holder = new pg.Client({ connectionString: mintmark.database.ownerUrl })
    await holder.connect()
    try {
      await holder.query('BEGIN')
      await holder.query('SELECT FROM admin_tokens WHERE id = $1 FOR UPDATE', [creator.id])
      const change = creator.call('PATCH', `/keys/${key.id}`, { name: 'too late' })
      await until('the change waits', async () => {
        const [row] = await mintmark.database.asOwner<{ waiting: number }>(
          `SELECT count(*)::int AS waiting FROM pg_locks JOIN pg_stat_activity USING (pid)
           WHERE NOT granted AND locktype IN ('tuple', 'transactionid') AND datname = current_database()`,
        )
        return (row?.waiting ?? 0) > 0
      })
      await holder.query('UPDATE admin_tokens SET revoked_at = now() WHERE id = $1', [creator.id])
      await holder.query('COMMIT')
      const { status, body } = await change
      expect([status, body.detail]).toEqual([
        403,
        'The admin token of this request is revoked. Use another one.',
      ])
    } finally {
      await holder.end()
    }
  })

  it('works for the token itself, and with a precondition on its version', async () => {
    const owner = await issue(mintmark, 'owner')
    const key = await makeKey(owner)
    const etag = (await owner.call('GET', `/admin-tokens/${owner.id}`)).headers.get('etag') ?? ''
    const place = `/admin-tokens/${owner.id}/revoke`
    expect((await owner.call('POST', place, { cascade: true }, { 'if-match': '"other"' })).status).toBe(412)
    const { status, body } = await owner.call('POST', place, { cascade: true }, { 'if-match': etag })
    expect([status, body.cascade]).toEqual([
      200,
      { admin_tokens: 0, keys: 1, secrets: 0, credentials: 0, left: 0 },
    ])
    expect(await exchange(key)).toBe(401)
  })
})
