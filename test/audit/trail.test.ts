import { spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CheckpointSigner, openCheckpoint } from '../../src/audit/audit-checkpoint.ts'
import { AuditTrail } from '../../src/audit/audit-trail.ts'
import { recordOnce } from '../../src/audit/record-once.ts'
import { namedKeys } from '../../src/config/formats.ts'
import { Database } from '../../src/database/database.ts'
import { createLogger } from '../../src/system/logger.ts'
import { mintmark as run } from '../cli/mintmark.ts'
import { isAbsent } from '../gateway-configs/program.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { PATIENT } from '../support/patient.ts'
import { startProcess } from '../support/service-process.ts'
import { createTestDatabase } from '../support/test-database.ts'
import { type JsonAnswer, request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

const clock = promptedClock()
let mintmark: TestService
let admin: TestService['admin']
let key: string
beforeAll(async () => {
  mintmark = await startTestService({ overrides: { clock } })
  ;({ admin } = mintmark)
  ;({ keyId: key } = await mintmark.tenantWithKey({ id: 'acme' }))
  await mintmark.tenantWithKey({ id: 'blue' })
  await admin('POST', `/keys/${key}/revoke`, { reason: 'leaked' })
})
afterAll(() => mintmark.stop())

const events = async (query = ''): Promise<Record<string, unknown>[]> =>
  (await admin('GET', `/audit-events?limit=100&${query}`)).body.data
const linesOf = ({ text }: JsonAnswer) =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line))
const verify = (url = mintmark.database.applicationUrl) =>
  run(['audit', 'verify'], { env: { DATABASE_URL: url } })

describe('GET /audit-events', () => {
  it('lists them newest first, each chained to the one before', async () => {
    const found = await events()
    expect(found.at(-1)).toMatchObject({ id: 1, previous_hash: '0'.repeat(64) })
    for (const [index, event] of found.entries()) {
      expect(event.id).toBe(found.length - index)
      if (index > 0) expect(found[index - 1]?.previous_hash).toBe(event.hash)
    }
    expect(found[0]).toMatchObject({
      actor: 'root',
      action: 'key.revoke',
      outcome: 'done',
      target_kind: 'key',
      target_id: key,
      tenant: 'acme',
      request_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      source: expect.stringContaining('127.0.0.1'),
      changes: { revokedReason: { from: null, to: 'leaked' } },
    })
  })

  it.each<[string, () => string, (event: Record<string, unknown>) => boolean]>([
    ['actor', () => 'actor=system', event => event.actor === 'system'],
    ['action', () => 'action=tenant.create', event => event.action === 'tenant.create'],
    ['target', () => `target=${key}`, event => event.target_id === key],
    ['tenant', () => 'tenant=blue', event => event.tenant === 'blue'],
    [
      'two of them',
      () => 'tenant=acme&action=key.create',
      event => event.tenant === 'acme' && event.action === 'key.create',
    ],
  ])('filters by %s', async (_, query, holds) => {
    const found = await events(query())
    expect(found.length).toBeGreaterThan(0)
    expect(found).toEqual((await events()).filter(holds))
  })

  it('filters by time: from is inclusive, to is exclusive', async () => {
    const all = await events()
    const at = (index: number) => encodeURIComponent(String(all[index]?.at).replace(/\d{3}Z$/, 'Z'))
    const found = await events(`from=${at(2)}`)
    expect(found.map(({ id }) => id)).toEqual(expect.arrayContaining(all.slice(0, 3).map(({ id }) => id)))
    expect((await events(`to=${at(2)}`)).map(({ id }) => id)).not.toContain(all[2]?.id)
    const exact = encodeURIComponent(String(all[2]?.at))
    expect((await events(`from=${exact}`)).map(({ id }) => id)).toContain(all[2]?.id)
    expect((await events(`to=${exact}`)).map(({ id }) => id)).not.toContain(all[2]?.id)
  })

  it('pages by a cursor that is valid for its filter only', async () => {
    const first = (await admin('GET', '/audit-events?limit=2&tenant=acme')).body
    const second = await admin('GET', `/audit-events?limit=2&tenant=acme&cursor=${first.next_cursor}`)
    expect(second.body.data[0].id).toBeLessThan(first.data[1].id)
    expect((await admin('GET', `/audit-events?tenant=blue&cursor=${first.next_cursor}`)).status).toBe(400)
  })

  it.each(['from=yesterday', 'limit=101', 'nobody=x', 'actor='])('rejects ?%s', async query => {
    expect((await admin('GET', `/audit-events?${query}`)).status).toBe(400)
  })
})

describe('GET /audit-events/export', () => {
  it('returns the trail oldest first, part by part, up to its end when the export began', async () => {
    const whole = await events()
    const found: unknown[] = []
    let place: string | undefined = '/audit-events/export?limit=3'
    while (place !== undefined) {
      const answer: JsonAnswer = await admin('GET', place)
      expect(answer.headers.get('content-type')).toMatch(/^application\/x-ndjson/)
      found.push(...linesOf(answer))
      const query: string | undefined = /^<(.*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1]
      place = query && `/audit-events/export${query}`
    }
    expect(found).toEqual(whole.toReversed())
  })

  it('is an audit event itself', async () => {
    const rows = linesOf(await admin('GET', '/audit-events/export?tenant=blue'))
    expect((await events())[0]).toMatchObject({
      actor: 'root',
      action: 'audit.export',
      changes: { rows: { to: rows.length }, tenant: { to: 'blue' }, lastId: { to: rows.at(-1).id } },
    })
  })

  it.skipIf(isAbsent('python3'))('can be checked with any JSON library and any SHA-256', async () => {
    const script = `
import hashlib, json, sys
previous = "0" * 64
for line in sys.stdin:
    row = json.loads(line)
    own = row.pop("hash")
    text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert row["previous_hash"] == previous and hashlib.sha256(text.encode()).hexdigest() == own, row["id"]
    previous = own
print(row["id"])`
    await admin('PATCH', '/tenants/acme', { name: 'Zoë 😀 "quoted" \\ ﬁ\u202e', labels: { z: '1', a: '2' } })
    const { text } = await admin('GET', '/audit-events/export')
    const child = spawn('python3', ['-c', script])
    child.stdin.end(text)
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (said += chunk))
    await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve))
    expect(said.trim()).toBe(String(text.trim().split('\n').length))
  })

  it('is verified by the command, through a pipe', async () => {
    const env = { MINTMARK_URL: mintmark.service.urls.admin, MINTMARK_TOKEN: mintmark.rootToken }
    const { stdout } = await run(['audit', 'export'], { env })
    expect(await run(['audit', 'verify', '--file', '-'], { input: stdout })).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`${stdout.trim().split('\n').length} rows`),
    })
  })
})

describe('a refusal', () => {
  const attempt = (token: string) =>
    request(`${mintmark.service.urls.admin}/admin/v1/tenants`, {
      headers: { authorization: `Bearer ${token}` },
    })

  it('of a login is one row per batch, whatever and however often it is tried', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, index) => attempt(`wrong-${index}`)))
    const counted = (list: readonly Record<string, unknown>[]) =>
      list.reduce((sum, { changes }) => sum + (changes as { count: { to: number } }).count.to, 0)
    const found = await until(
      'the refusals are written',
      async () => {
        await clock.runJobs()
        return events('action=login.refuse')
      },
      list => counted(list) === 50,
    )
    expect(found.length).toBeLessThan(5)
    for (const row of found) expect(row).toMatchObject({ actor: 'unknown', outcome: 'refused' })
    expect(JSON.stringify(found)).not.toContain('wrong-')
  })
})

describe('a checkpoint', () => {
  it('is stored in the database and the log, once per head, in a form that the log does not redact', async () => {
    const { applicationUrl: url, asOwner } = mintmark.database
    const lines: string[] = []
    const logger = createLogger('info', { write: line => void lines.push(line) })
    const database = new Database({ url, maxConnections: 1, logger, timeouts: PATIENT })
    const [encryptionKey] = namedKeys(mintmark.environment.MINTMARK_ENCRYPTION_KEYS ?? '')
    if (!encryptionKey) throw new Error('there is no encryption key')
    const trail = new AuditTrail({ database, signer: new CheckpointSigner(encryptionKey), logger })
    await trail.keepCheckpoint()
    await trail.keepCheckpoint()
    await database.close()
    const kept = await asOwner('SELECT id::int, jws FROM audit_checkpoints')
    expect(lines).toHaveLength(1)
    const { checkpoint } = JSON.parse(lines[0] ?? '')
    const logged = `${checkpoint.protected}.${checkpoint.payload}.${checkpoint.signature}`
    expect(kept).toEqual([{ id: (await events())[0]?.id, jws: logged }])
    const env = { MINTMARK_URL: mintmark.service.urls.admin, MINTMARK_TOKEN: mintmark.rootToken }
    const printed = await run(['audit', 'checkpoint', '-q'], { env })
    const asked = await openCheckpoint(printed.stdout.trim())
    expect(asked).toMatchObject({ ...(await openCheckpoint(logged)), at: expect.any(String) })
    expect(asked).toMatchObject({ issuer: 'https://tokens.example.test', hash: (await events())[0]?.hash })
  })
})

describe('the chain', () => {
  it('is intact with eight concurrent writers on two replicas', async () => {
    const other = await startTestService({ database: mintmark.database, env: mintmark.environment })
    const writer = async (call: TestService['admin'], name: string) => {
      for (let count = 0; count < 12; count++) {
        // 503: another writer held the counter for too long, and nothing was written; 409: it was written.
        const make = () => call('POST', '/tenants', { id: `${name}-${count}` })
        await until('made', make, ({ status }) => status === 201 || status === 409)
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, n) => writer(n % 2 ? other.admin : admin, `writer-${n}`)))
    await other.service.stop()
    const made = await mintmark.database.asOwner(
      "SELECT target_id FROM audit_events WHERE action = 'tenant.create' AND target_id LIKE 'writer-%'",
    )
    expect(made).toHaveLength(96)
    expect(await verify()).toMatchObject({ code: 0 })
  })

  it('is intact after kill -9 during writes', async () => {
    const database = await createTestDatabase()
    const env = { ...mintmark.environment, DATABASE_URL: database.applicationUrl, NODE_ENV: 'test' }
    const service = startProcess(env)
    const urls = await service.ready()
    const write = async (name: string) => {
      for (let count = 0; ; count++) {
        const answer = await request(`${urls.admin}/admin/v1/tenants`, {
          method: 'POST',
          headers: { authorization: `Bearer ${mintmark.rootToken}`, 'content-type': 'application/json' },
          body: JSON.stringify({ id: `${name}-${count}` }),
        }).catch(() => undefined)
        if (!answer) return
        if (count === 12) void service.kill()
      }
    }
    await Promise.all(Array.from({ length: 4 }, (_, n) => write(`w${n}`)))
    await service.kill()
    expect(await verify(database.applicationUrl)).toMatchObject({ code: 0 })
    const [counts] = await database.asOwner(
      "SELECT (SELECT count(*) FROM tenants) AS tenants, (SELECT count(*) FROM audit_events WHERE action = 'tenant.create') AS events",
    )
    expect(counts?.tenants).toBe(counts?.events)
    await database.drop()
  }, 60_000)

  it('includes the rows of an older database', async () => {
    const database = await createTestDatabase({ empty: true })
    const [before, [own = '']] = await migrationsAround('0005_audit_chain.sql')
    for (const migration of before) await database.asOwner(migration)
    const insert = 'INSERT INTO audit_events (actor, action, target_kind, target_id, changes) VALUES'
    await database.asOwner(`${insert} ('root', 'tenant.create', 'tenant', 'old',
      '{"name":{"to":"Zoë \\u0007 \\"q\\" \\\\"},"Labels":{"to":{"b":1,"a":[1,null,true,{}],"10":-5}}}')`)
    await database.asOwner("SELECT nextval(pg_get_serial_sequence('audit_events', 'id'))")
    await database.asOwner(`${insert} ('root', 'x.y', 'k', 'after a gap', '{}')`)
    await database.asOwner(own)
    expect(await verify(database.ownerUrl)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('2 rows, 1 to 2'),
    })
    await database.drop()
  })
})

/** The texts of the migrations before one, and from it on. */
async function migrationsAround(name: string): Promise<[string[], string[]]> {
  const folder = new URL('../../db/migrations/', import.meta.url)
  const names = (await readdir(folder)).sort()
  const texts = await Promise.all(names.map(each => readFile(new URL(each, folder), 'utf8')))
  const place = names.indexOf(name)
  return [texts.slice(0, place), texts.slice(place)]
}

it('an event that several processes record once is one row', async () => {
  const url = mintmark.database.applicationUrl
  const logger = createLogger('silent')
  const database = new Database({ url: () => url, maxConnections: 4, logger, timeouts: PATIENT })
  const event = { action: 'emergency.extend', targetKind: 'extension', targetId: 'x1', changes: {} } as const
  await Promise.all(Array.from({ length: 4 }, () => recordOnce(database, { id: 'root' }, event)))
  await recordOnce(database, { id: 'root' }, event)
  await database.close()
  expect(await events('target=x1')).toHaveLength(1)
})

describe('mintmark audit prune', () => {
  it('deletes old rows as the owner, records it in a row, and the rest verifies', async () => {
    const database = await createTestDatabase()
    const service = await startTestService({ database })
    await service.tenantWithKey({ id: 'acme' })
    await service.service.stop()
    await aged(database)
    const env = { MIGRATE_DATABASE_URL: database.ownerUrl }
    const count = Number((await database.asOwner('SELECT count(*) FROM audit_events'))[0]?.count)
    expect(await run(['audit', 'prune', '--older-than-days', '400', '--yes'], { env })).toMatchObject({
      code: 0,
      stdout: '0 audit events were pruned.\n',
    })
    expect(await run(['audit', 'prune', '--older-than-days', '100', '--yes'], { env })).toMatchObject({
      code: 0,
      // The newest stays.
      stdout: `${count - 1} audit events were pruned.\n`,
    })
    const left = await database.asOwner('SELECT id, actor, action FROM audit_events ORDER BY id')
    expect(left).toMatchObject([{ id: String(count) }, { actor: 'owner', action: 'audit.prune' }])
    expect(await verify(database.applicationUrl)).toMatchObject({ code: 0 })
    await database.drop()
  })

  it('is denied to the application role, and for rows younger than ninety days', async () => {
    const env = { MIGRATE_DATABASE_URL: mintmark.database.applicationUrl }
    expect((await run(['audit', 'prune', '--older-than-days', '100', '--yes'], { env })).code).not.toBe(0)
    expect(await run(['audit', 'prune', '--older-than-days', '89'], { env })).toMatchObject({ code: 2 })
    const [row] = await mintmark.database.asOwner("SELECT pruned FROM prune_audit_events(interval '0', 100)")
    expect(row).toEqual({ pruned: '0' })
  })
})

/** Chains the rows again as if they had been written four months ago. */
async function aged({ asOwner }: { asOwner: TestService['database']['asOwner'] }): Promise<void> {
  await asOwner('ALTER TABLE audit_events DISABLE TRIGGER USER')
  await asOwner("UPDATE audit_events SET at = at - interval '120 days'")
  const { rowHash } = await import('../../src/audit/audit-chain.ts')
  const rows =
    await asOwner(`SELECT id::int, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS at, actor,
    action, outcome, target_kind, target_id, tenant_id AS tenant, request_id, source, changes FROM audit_events ORDER BY id`)
  let head = '0'.repeat(64)
  for (const row of rows) {
    const hash = rowHash({ ...row, previous_hash: head } as Parameters<typeof rowHash>[0])
    const set = `previous_hash = decode($1, 'hex'), hash = decode($2, 'hex')`
    await asOwner(`UPDATE audit_events SET ${set} WHERE id = $3`, [head, hash, row.id])
    head = hash
  }
  await asOwner("UPDATE change_counter SET audit_hash = decode($1, 'hex')", [head])
  await asOwner('ALTER TABLE audit_events ENABLE TRIGGER USER')
}
