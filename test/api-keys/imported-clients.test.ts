import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcrypt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cliOf } from '../cli/mintmark.ts'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

const COST = 9
let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  await admin('POST', '/tenants', { id: 'acme', allowed_tiers: ['standard', 'batch'] })
})
afterAll(() => mintmark.stop())

const sha256 = (secret: string) => createHash('sha256').update(secret).digest()
const importAll = (clients: object[], query = '') => admin('POST', `/imported-clients${query}`, { clients })
const exchange = (client_id: string, client_secret: string, service = mintmark): Promise<JsonAnswer> =>
  service.token({ grant_type: 'client_credentials', client_id, client_secret })
const statusOf = async (clientId: string, secret: string) => (await exchange(clientId, secret)).status
const claims = ({ body }: JsonAnswer) =>
  JSON.parse(Buffer.from(body.access_token.split('.')[1], 'base64url').toString())

let made = 0
/** Imports one client, and returns its credential. */
async function imported(
  options: { secret?: string; tenant?: string; hash?: string; settings?: object } = {},
) {
  const client_id = `legacy-app-${++made}`
  const secret = options.secret ?? `chosen by a person ${made}`
  const hash = options.hash ?? (await bcrypt.hash(secret, COST))
  const scheme = hash.startsWith('$2') ? 'bcrypt' : 'sha256'
  const row = { client_id, tenant: options.tenant ?? 'acme', scheme, hash, ...options.settings }
  const { status, text, body } = await importAll([row])
  expect(status, text).toBe(200)
  return { client_id, secret, key: body.rows[0].key as string, row }
}

describe('an imported client', () => {
  it.each<[string, (secret: string) => Promise<string>]>([
    ['bcrypt, $2b$', secret => bcrypt.hash(secret, COST)],
    [
      'bcrypt, $2y$ as PHP writes it',
      async secret => (await bcrypt.hash(secret, COST)).replace('$2b$', '$2y$'),
    ],
    ['SHA-256 in hex', async secret => sha256(secret).toString('hex').toUpperCase()],
    ['SHA-256 in base64', async secret => sha256(secret).toString('base64')],
    ['SHA-256 in base64url', async secret => sha256(secret).toString('base64url')],
  ])('authenticates with its own client_id and secret: %s', async (_, hashed) => {
    const secret = `pässword +%: ${made}`
    const { client_id, key } = await imported({
      secret,
      hash: await hashed(secret),
      settings: { tier: 'batch' },
    })
    const answer = await exchange(client_id, secret)
    expect(answer.status, answer.text).toBe(200)
    expect(claims(answer)).toMatchObject({ sub: key, client_id: key, tenant: 'acme', tier: 'batch' })
    const pair = [client_id, secret].map(encodeURIComponent).join(':')
    const basic = { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
    expect((await mintmark.token({ grant_type: 'client_credentials' }, basic)).status).toBe(200)
    expect(await statusOf(client_id, `${secret}x`)).toBe(401)
    expect(await statusOf(`${client_id}x`, secret)).toBe(401)
    // A separate namespace: neither the key's id nor the tenant works as client_id.
    expect([await statusOf(key, secret), await statusOf('acme', secret)]).toEqual([401, 401])
    expect((await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })).status).toBe(
      401,
    )
  })

  it('with a wrong secret gets the same response as an unknown one', async () => {
    const { client_id } = await imported()
    const wrong = await exchange(client_id, 'wrong')
    const unknown = await exchange('nobody', 'wrong')
    expect({ status: wrong.status, body: wrong.body }).toEqual({ status: unknown.status, body: unknown.body })
  })

  it('is a key: it is shown, disabled, enabled, revoked and counted like one', async () => {
    const { client_id, secret, key } = await imported()
    expect((await admin('GET', `/keys/${key}`)).body).toMatchObject({
      tenant: 'acme',
      name: client_id,
      state: 'active',
      secrets: [{ state: 'live', imported: { client_id, scheme: 'bcrypt' } }],
    })
    expect(await statusOf(client_id, secret)).toBe(200)
    await admin('POST', `/keys/${key}/disable`)
    expect(await exchange(client_id, secret)).toMatchObject({
      status: 400,
      body: { error: 'unauthorized_client' },
    })
    await admin('POST', `/keys/${key}/enable`)
    expect(await statusOf(client_id, secret)).toBe(200)
    await admin('POST', `/keys/${key}/revoke`, {})
    expect(await statusOf(client_id, secret)).toBe(401)
    await statusOf(client_id, 'wrong')
    const counts = () =>
      mintmark.database.asOwner('SELECT outcome FROM key_usage WHERE key_id = $1 ORDER BY outcome', [key])
    await until('the counts are written', counts, rows => rows.length >= 2)
    expect((await counts()).map(({ outcome }) => outcome)).toEqual(
      expect.arrayContaining(['exchanged', 'key_disabled']),
    )
  })

  it('is suspended and deleted with its tenant', async () => {
    await admin('POST', '/tenants', { id: 'gone' })
    const { client_id, secret } = await imported({ tenant: 'gone' })
    await admin('POST', '/tenants/gone/suspend')
    expect(await statusOf(client_id, secret)).toBe(400)
    await admin('POST', '/tenants/gone/resume')
    expect(await statusOf(client_id, secret)).toBe(200)
    expect((await admin('DELETE', '/tenants/gone?cascade=true')).status).toBe(204)
    expect(await statusOf(client_id, secret)).toBe(401)
  })

  it('is moved to a Mintmark secret by rotation: its subject is unchanged, and its old secret ends with the overlap', async () => {
    const { client_id, secret, key } = await imported()
    const { body } = await admin('POST', `/keys/${key}/rotate`, { overlap_seconds: 3600 })
    expect(body.secrets.map(({ state }: { state: string }) => state)).toEqual(['live', 'ending'])
    const fresh = await exchange(key, body.secret)
    expect(claims(fresh).sub).toBe(key)
    expect(await statusOf(client_id, secret)).toBe(200)
    const [, old] = body.secrets
    await admin('POST', `/keys/${key}/secrets/${old.id}/revoke`)
    expect([await statusOf(client_id, secret), await statusOf(key, body.secret)]).toEqual([401, 200])
  })

  it.each([
    ['longer than the 72 bytes that bcrypt reads', 'a'.repeat(72), `${'a'.repeat(72)}b`],
    ['with umlauts beyond 72 bytes', 'ä'.repeat(36), `${'ä'.repeat(36)}b`],
  ])('is rejected with a secret %s', async (_, secret, longer) => {
    const { client_id } = await imported({ secret })
    expect([await statusOf(client_id, longer), await statusOf(client_id, secret)]).toEqual([401, 200])
  })

  it('is known to another replica, and its revocation too', async () => {
    const other = await startTestService({ database: mintmark.database, env: mintmark.environment })
    const { client_id, secret, key } = await imported()
    const there = async () => (await exchange(client_id, secret, other)).status
    await until('it is let in', there, status => status === 200)
    await admin('POST', `/keys/${key}/revoke`, {})
    await until('it is refused', there, status => status === 401)
    await other.service.stop()
  })
})

describe('POST /imported-clients', () => {
  const rows = async () =>
    Number((await mintmark.database.asOwner('SELECT count(*) FROM api_keys'))[0]?.count)
  const good = (client_id: string) => ({
    client_id,
    tenant: 'acme',
    scheme: 'sha256',
    hash: sha256(client_id).toString('hex'),
  })

  it.each<[string, object, string]>([
    ['a bcrypt hash that is cut', { scheme: 'bcrypt', hash: '$2b$10$abc' }, '/hash'],
    [
      'text after a bcrypt hash',
      { scheme: 'bcrypt', hash: `$2b$04$${'a'.repeat(21)}u${'a'.repeat(31)}x` },
      '/hash',
    ],
    [
      'a bcrypt cost that would take seconds',
      { scheme: 'bcrypt', hash: `$2b$15$${'a'.repeat(21)}u${'a'.repeat(31)}` },
      '/hash',
    ],
    ['a SHA-256 that is too short', { hash: 'ab' }, '/hash'],
    ['a scheme that is none', { scheme: 'md5' }, '/scheme'],
    ['a tenant that is none', { tenant: 'nobody' }, '/tenant'],
    ['a client_id with a space', { client_id: 'a b' }, '/client_id'],
    ['a tier that the tenant may not give', { tier: 'premium' }, '/tier'],
    ['a field that is none', { secret: 'x' }, '/secret'],
  ])('refuses %s, and with it the whole list', async (_, change, pointer) => {
    const before = await rows()
    const { status, body } = await importAll([good('fine'), { ...good('bad'), ...change }])
    expect(status).toBe(400)
    expect(body.errors.map((fault: { pointer: string }) => fault.pointer)).toEqual([`/clients/1${pointer}`])
    expect(await rows()).toBe(before)
  })

  it('reports each row of a dry run, and changes nothing', async () => {
    const { row } = await imported()
    const before = await rows()
    const { status, body } = await importAll(
      [good('new'), row, { ...row, hash: await bcrypt.hash('other', 4) }, good('new')],
      '?dry_run=true',
    )
    expect(status).toBe(200)
    expect(body).toMatchObject({ dry_run: true, created: 1, exists: 1, refused: 2 })
    expect(body.rows).toMatchObject([
      { row: 1, result: 'created', key: null },
      { row: 2, result: 'exists' },
      { row: 3, result: 'refused', errors: [{ pointer: '/client_id' }, { pointer: '/client_id' }] },
      {
        row: 4,
        result: 'refused',
        errors: [{ pointer: '/client_id', message: 'is a duplicate of an earlier client in the list' }],
      },
    ])
    expect(await rows()).toBe(before)
  })

  it('imports a thousand at once, and repeats without effect; one audit row each, without the hash', async () => {
    const clients = Array.from({ length: 1000 }, (_, n) => good(`bulk-${n}`))
    const first = await importAll(clients)
    expect(first.body, first.text.slice(0, 300)).toMatchObject({ created: 1000, refused: 0 })
    const again = await importAll(clients)
    expect(again.body).toMatchObject({ created: 0, exists: 1000 })
    expect(again.body.rows[7].key).toBe(first.body.rows[7].key)
    const events = await mintmark.database.asOwner(
      "SELECT changes::text AS changes FROM audit_events WHERE action = 'key.import' AND changes->'clientId'->>'to' LIKE 'bulk-%'",
    )
    expect(events).toHaveLength(1000)
    expect(JSON.stringify(events)).not.toContain(clients[0]?.hash)
    expect(await statusOf('bulk-999', 'bulk-999')).toBe(200)
    expect((await importAll([...clients, good('one more')])).status).toBe(400)
  })
})

describe('mintmark import', () => {
  it('reads CSV and NDJSON, and names faulty rows', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mintmark-import-'))
    const { run, attempt } = cliOf(mintmark)
    const file = async (name: string, text: string) => {
      await writeFile(join(folder, name), text)
      return join(folder, name)
    }
    const hash = sha256('s').toString('hex')
    const csv = `client_id,tenant,scheme,hash,name,scopes\r\ncsv-1,acme,sha256,${hash},"A, ""quoted"" name",inference\r\ncsv-2,acme,sha256,${hash},,\r\n`
    const dry = await attempt(['import', await file('a.csv', csv), '--dry-run'])
    expect(dry).toMatchObject({ code: 0, stderr: expect.stringContaining('Nothing was imported') })
    expect(await statusOf('csv-1', 's')).toBe(401)
    const keys = (await run('import', await file('a.csv', csv), '-q')).trim().split('\n')
    expect((await admin('GET', `/keys/${keys[0]}`)).body.name).toBe('A, "quoted" name')
    expect([await statusOf('csv-1', 's'), await statusOf('csv-2', 's')]).toEqual([200, 200])
    const line = (id: string, tenant: string) =>
      `${JSON.stringify({ client_id: id, tenant, scheme: 'sha256', hash })}\n`
    const bad = await attempt([
      'import',
      await file('b.ndjson', line('nd-1', 'acme') + line('nd-2', 'nobody')),
    ])
    expect(bad).toMatchObject({ code: 5, stderr: expect.stringContaining('row 2: tenant is not a tenant') })
    await run('import', await file('c.ndjson', line('nd-1', 'acme')))
    expect(await statusOf('nd-1', 's')).toBe(200)
    await rm(folder, { recursive: true })
  })
})
