import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { writeExtension } from '../../src/snapshots/emergency-extension.ts'
import { readHeader } from '../../src/snapshots/sealed-file.ts'
import type { SnapshotHeader } from '../../src/snapshots/snapshot.ts'
import { systemClock } from '../../src/system/clock.ts'
import { systemRandom } from '../../src/system/random.ts'
import { jws, newPair } from '../identity-providers/assertions.ts'
import { scrape } from '../observability/metrics-text.ts'
import { caughtUp } from '../support/caught-up.ts'
import { NO_SERVER, startReplica } from '../support/replicas.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** Jobs that run each second or each five seconds run often, and time can be set forward. */
function snapshotClock() {
  let offsetMs = 0
  return {
    ...systemClock,
    wallMs: () => systemClock.wallMs() + offsetMs,
    monotonicMs: () => systemClock.monotonicMs() + offsetMs,
    every: (ms: number, task: () => Promise<void>) =>
      systemClock.every(ms === 1_000 || ms === 5_000 ? 250 : ms, task),
    forward: (seconds: number) => {
      offsetMs += seconds * 1000
    },
  }
}

const folder = mkdtempSync(join(tmpdir(), 'mintmark-snapshots-'))
const copies = mkdtempSync(join(tmpdir(), 'mintmark-snapshots-'))
const clock = snapshotClock()
let writer: TestService
let proxy: TcpProxy & { url: string }
const keys: Record<'live' | 'revoked' | 'suspended' | 'impatient' | 'later', string> = {
  live: '',
  revoked: '',
  suspended: '',
  impatient: '',
  later: '',
}
let laterId: string
/** A pod whose tokens are exchanged, and a client with a key pair. */
const workload = { pair: newPair('one'), keyId: '', token: '' }
const clientPair = newPair('own')
let clientKeyId: string
/** A token that was issued for the revoked key before. */
let revokedToken: string
/** A token of a live key that was ended before. */
let endedToken: string
let started: TestService[] = []

beforeAll(async () => {
  writer = await startTestService({ env: { MINTMARK_SNAPSHOT_DIR: folder }, overrides: { clock } })
  const live = await writer.tenantWithKey({ id: 'live' })
  const revoked = await writer.tenantWithKey({ id: 'busy' })
  const suspended = await writer.tenantWithKey({ id: 'suspended' })
  const impatient = await writer.tenantWithKey({ id: 'impatient', staleness_seconds: 5 })
  const later = await writer.tenantWithKey({ id: 'later' })
  laterId = later.keyId
  for (const [name, { secret }] of Object.entries({ live, revoked, suspended, impatient, later }))
    keys[name as keyof typeof keys] = secret
  revokedToken = (await exchange(writer, keys.revoked)).body.access_token
  endedToken = (await exchange(writer, keys.live)).body.access_token
  await writer.admin('POST', '/token-revocations', { key: live.keyId })
  await writer.admin('POST', `/keys/${revoked.keyId}/revoke`, { reason: 'test' })
  await writer.admin('POST', '/tenants/suspended/suspend')
  await addWorkloads()
  await writer.admin('POST', '/signing-keys/rotate')
  await written()
  proxy = await TcpProxy.before(writer.database.applicationUrl)
})
afterEach(async () => {
  await Promise.all(started.map(service => service.stop()))
  started = []
})
afterAll(async () => {
  await writer.stop()
  await proxy.close()
  for (const path of [folder, copies]) rmSync(path, { recursive: true })
})

const CLUSTER = 'https://kubernetes.default.svc.cluster.local'
const SUBJECT = 'system:serviceaccount:live:trainer'

async function addWorkloads(): Promise<void> {
  const settings = {
    kind: 'kubernetes',
    issuer: CLUSTER,
    audiences: ['https://tokens.example.com'],
    jwks: { keys: [workload.pair.jwk] },
  }
  const provider = (await writer.admin('POST', '/identity-providers', settings)).body.id
  const add = async (credential: object) =>
    (await writer.admin('POST', '/tenants/live/workload-keys', { credential })).body.key
  workload.keyId = await add({ type: 'federated', provider, subject: SUBJECT })
  clientKeyId = await add({ type: 'public_key', jwks: { keys: [clientPair.jwk] } })
  workload.token = (await exchangeAssertion(writer)).body.access_token
}

const exchangeAssertion = (service: TestService, sub = SUBJECT) => {
  const claims = { iss: CLUSTER, aud: 'https://tokens.example.com', sub, exp: nowSeconds() + 600 }
  return service.token({
    grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
    assertion: jws(workload.pair, { alg: 'ES256', kid: 'one' }, claims),
  })
}
const presentClientAssertion = (service: TestService) => {
  const aud = writer.service.issuer
  const claims = { iss: clientKeyId, sub: clientKeyId, aud, jti: 'once', exp: nowSeconds() + 60 }
  return service.token({
    grant_type: 'client_credentials',
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: jws(clientPair, { alg: 'ES256', kid: 'own' }, claims),
  })
}
const nowSeconds = () => Math.floor(clock.wallMs() / 1000)

const snapshotNames = (path = folder) => readdirSync(path).filter(name => name.endsWith('.snapshot'))
const headers = (path = folder) =>
  Promise.all(snapshotNames(path).map(name => readHeader<SnapshotHeader>(join(path, name))))

/** Resolves when a snapshot has everything that the writer has applied. */
const written = async () => {
  await caughtUp(writer)
  clock.forward(11)
  const position = writer.service.changes.position
  const has = (all: SnapshotHeader[]) => all.some(header => header.position.number === position)
  await until('a snapshot of the last change', headers, has)
}

const exchange = (service: TestService, client_secret: string) =>
  service.token({ grant_type: 'client_credentials', client_secret })
const readyz = (service: TestService) => request(`${service.service.urls.ops}/readyz`)
const jwks = async (service: TestService) =>
  (await request(`${service.service.urls.public}/.well-known/jwks.json`)).text

/** A replica without Postgres. */
async function withoutPostgres(
  env: Record<string, string> = {},
  own = snapshotClock(),
): Promise<TestService> {
  const service = await startTestService({
    database: writer.database,
    env: { ...writer.environment, DATABASE_URL: NO_SERVER, ...env },
    overrides: { clock: own },
    awaitReady: false,
  })
  started.push(service)
  return service
}

/** The reason why a replica without Postgres does not become ready. */
async function refusal(env: Record<string, string>, own = snapshotClock()): Promise<string> {
  const service = await withoutPostgres(env, own)
  const named = ({ body }: { body: { reason?: string } }) => body.reason?.includes('snapshot') === true
  return (await until('a reason', () => readyz(service), named)).body.reason
}

/** The newest snapshot in a folder of its own, changed. */
function copied(change: (bytes: Buffer) => Buffer): string {
  const path = mkdtempSync(join(copies, 'copy-'))
  const [name = ''] = snapshotNames()
  writeFileSync(join(path, name), change(readFileSync(join(folder, name))))
  return path
}

const extend = (hours: number, reason = 'the database is being rebuilt', at = folder) => {
  const { encryptionKeys } = readConfig(new Env(writer.environment))
  const { MINTMARK_ISSUER: issuer = '' } = writer.environment
  const createdAt = systemClock.wallMs()
  return headers().then(all => {
    const header = all.toSorted((a, b) => b.seenAt - a.seenAt)[0]
    const from = { position: header?.position ?? { number: '0', id: '' }, seenAt: header?.seenAt ?? 0 }
    const until = createdAt + hours * 3_600_000
    const extension = { id: `ext_${hours}`, until, createdAt, reason, createdOn: 'test', issuer, from }
    return writeExtension({ folder: at, issuer, encryptionKeys, random: systemRandom }, extension)
  })
}

describe('a replica that starts without Postgres and with a snapshot', () => {
  it('exchanges known keys and refuses what was revoked or suspended, by name in /readyz, metrics and log', async () => {
    const replica = await withoutPostgres()
    await replica.service.ready
    expect((await exchange(replica, keys.live)).status).toBe(200)
    expect((await exchange(replica, keys.revoked)).status).toBe(503)
    const suspended = await exchange(replica, keys.suspended)
    expect([suspended.status, suspended.body.error]).toEqual([400, 'unauthorized_client'])
    expect(await jwks(replica)).toBe(await jwks(writer))
    const { status, body } = await readyz(replica)
    expect([status, body.status]).toEqual([200, 'ready'])
    expect(body.warning).toMatch(/^Serving from a snapshot, without the database\. The database/)
    const { series } = await scrape(replica.service.urls.ops)
    expect(series.get('mintmark_snapshot_serving')).toBe(1)
    const line = replica.logs
      .map(text => JSON.parse(text))
      .find(({ msg }) => /^started from a snapshot/.test(msg))
    expect(line).toMatchObject({ keys: 4, position: writer.service.changes.position })
  })

  it('exchanges assertions and client assertions, and knows the status of their keys at the check', async () => {
    const replica = await withoutPostgres()
    await replica.service.ready
    const { status, body, text } = await exchangeAssertion(replica)
    expect(status, text).toBe(200)
    expect(decodeJwt(body.access_token)).toMatchObject({ sub: workload.keyId, tenant: 'live' })
    expect((await exchangeAssertion(replica, 'system:serviceaccount:live:other')).status).toBe(400)
    expect((await presentClientAssertion(replica)).status).toBe(200)
    expect((await presentClientAssertion(replica)).status).toBe(401)
    const check = await request(`${replica.service.urls.gateway}/check/v1/models`, {
      headers: { authorization: `Bearer ${workload.token}` },
    })
    expect(check.status).toBe(200)
  })

  it('answers its administrators 503, and rejects tokens of a revoked key and ended ones at the check', async () => {
    const replica = await withoutPostgres()
    await replica.service.ready
    const admin = await request(`${replica.service.urls.admin}/admin/v1/tenants`, {
      headers: { authorization: `Bearer ${replica.rootToken}` },
    })
    expect(admin.status).toBe(503)
    const check = (jwt: string) =>
      request(`${replica.service.urls.gateway}/check/v1/chat/completions`, {
        headers: { authorization: `Bearer ${jwt}` },
      })
    expect((await check(revokedToken)).status).toBe(401)
    expect((await check(endedToken)).status).toBe(401)
    // A replica that starts from the snapshot issues with the new epoch.
    const { access_token: fresh } = (await exchange(replica, keys.live)).body
    expect((await check(fresh)).status).toBe(200)
  })

  it('catches up when Postgres answers, and what was revoked meanwhile is refused', async () => {
    await proxy.become('refuse')
    const replica = await withoutPostgres({ DATABASE_URL: proxy.url })
    await replica.service.ready
    expect((await exchange(replica, keys.later)).status).toBe(200)
    await writer.admin('POST', `/keys/${laterId}/revoke`, { reason: 'test' })
    const { secret } = await writer.tenantWithKey({ id: 'newest' })
    await proxy.become('none')
    await until(
      'the revocation',
      () => exchange(replica, keys.later),
      ({ status }) => status === 401,
    )
    expect((await exchange(replica, secret)).status).toBe(200)
    const healed = await until(
      'no warning',
      () => readyz(replica),
      ({ body }) => body.warning === undefined,
    )
    expect(healed.body).toMatchObject({ status: 'ready' })
    await until(
      'administrators are served',
      () => replica.admin('GET', '/tenants'),
      ({ status }) => status === 200,
    )
    expect(replica.logs.some(line => line.includes('following its changes again'))).toBe(true)
    expect(replica.logs.some(line => line.includes('reloading'))).toBe(false)
  })

  it('stays with the snapshot when another database answers', async () => {
    const foreign = await startTestService({ env: pick('MINTMARK_PEPPERS', 'MINTMARK_ENCRYPTION_KEYS') })
    try {
      const file = join(copies, 'database-url')
      writeFileSync(file, NO_SERVER)
      const replica = await withoutPostgres({ DATABASE_URL: '', DATABASE_URL_FILE: file })
      await replica.service.ready
      writeFileSync(file, foreign.database.applicationUrl)
      const warned = ({ body }: { body: { warning?: string } }) =>
        body.warning?.includes('this replica serves') === true
      const { body } = await until('a warning', () => readyz(replica), warned)
      expect(body.warning).toContain('set DATABASE_URL to the database of that one')
      expect((await exchange(replica, keys.live)).status).toBe(200)
    } finally {
      await foreign.stop()
    }
  })
})

const pick = (...names: string[]) =>
  Object.fromEntries(names.map(name => [name, writer.environment[name] ?? '']))

describe('a snapshot is refused by name, with the cure', () => {
  it('when it is older than the staleness limit', async () => {
    const own = snapshotClock()
    own.forward(1_000)
    const reason = await refusal({}, own)
    expect(reason).toMatch(/^The database .* \(old\): It is \d+ s old, and MINTMARK_STALENESS_SECONDS is 900/)
    expect(reason).toContain('mintmark emergency extend')
  })

  it.each<[string, string, (bytes: Buffer) => Buffer]>([
    // Not in the length of a part, which says that the file ends too early.
    ['corrupted', 'changed or damaged', bytes => flipped(bytes, bytes.length - 1)],
    ['corrupted', 'changed or damaged', bytes => flipped(bytes, bytes.indexOf('"salt":"') + 12)],
    ['corrupted', 'changed or damaged', bytes => flipped(bytes, 3)],
    ['incomplete', 'ends too early', bytes => bytes.subarray(0, bytes.length - 1)],
    ['incomplete', 'ends too early', bytes => bytes.subarray(0, 40)],
    ['incomplete', 'ends too early', () => Buffer.alloc(0)],
    [
      'version',
      'Another version',
      bytes => Buffer.concat([Buffer.from('mintmark sealed file 2\n'), bytes.subarray(23)]),
    ],
  ])('when it is %s (%s)', async (kind, cure, change) => {
    const reason = await refusal({ MINTMARK_SNAPSHOT_DIR: copied(change) })
    expect(reason).toContain(`.snapshot (${kind}): `)
    expect(reason).toContain(cure)
  })

  it.each<[string, Record<string, string>, string]>([
    [
      'foreign',
      { MINTMARK_ISSUER: 'https://other.example.test' },
      'set MINTMARK_SNAPSHOT_DIR to the folder of this one',
    ],
    ['foreign', { MINTMARK_ENCRYPTION_KEYS: `e1:${'A'.repeat(43)}` }, 'belongs to another installation'],
    ['foreign', { MINTMARK_PEPPERS: `p1:${'A'.repeat(43)}` }, 'belongs to another installation'],
    ['lacking_key', { MINTMARK_ENCRYPTION_KEYS: `e2:${'A'.repeat(43)}` }, 'add it to the list'],
    ['lacking_key', { MINTMARK_PEPPERS: `p2:${'A'.repeat(43)}` }, 'add it to the list'],
  ])('when it is %s: %o', async (kind, env, cure) => {
    const reason = await refusal(env)
    expect(reason).toContain(`.snapshot (${kind}): `)
    expect(reason).toContain(cure)
  })

  it('when the clock of this host is behind it', async () => {
    const own = snapshotClock()
    own.forward(-60)
    expect(await refusal({}, own)).toContain('correct the clock')
  })

  it('when there is none, or no folder', async () => {
    expect(await refusal({ MINTMARK_SNAPSHOT_DIR: mkdtempSync(join(copies, 'empty-')) })).toContain(
      'has no snapshot',
    )
    expect(await refusal({ MINTMARK_SNAPSHOT_DIR: join(copies, 'absent') })).toContain(
      'it does not exist (ENOENT)',
    )
  })
})

const flipped = (bytes: Buffer, place: number) => {
  bytes.writeUInt8(bytes.readUInt8(place) ^ 1, place)
  return bytes
}

describe('an emergency extension', () => {
  const longAfter = () => {
    const own = snapshotClock()
    own.forward(7_300)
    return own
  }

  it('lets an old snapshot be used, except for tenants with a limit of their own, and keys rotate on schedule', async () => {
    const asked = { role: 'introspector', audiences: ['vllm'] }
    const introspector = (await writer.admin('POST', '/admin-tokens', asked)).body
    await written()
    await extend(24)
    const replica = await withoutPostgres({}, longAfter())
    await replica.service.ready
    expect((await exchange(replica, keys.impatient)).status).toBe(503)
    const { status, body } = await exchange(replica, keys.live)
    expect(status).toBe(200)
    const answer = await request(`${replica.service.urls.public}/oauth/introspect`, {
      method: 'POST',
      headers: { authorization: `Bearer ${introspector.secret}` },
      body: new URLSearchParams({ token: body.access_token }),
    })
    expect(answer).toMatchObject({ status: 200, body: { active: true } })
    const published = JSON.parse(await jwks(writer))
    const { protectedHeader } = await jwtVerify(body.access_token, createLocalJWKSet(published), {
      currentDate: new Date(longAfter().wallMs()),
    })
    const before = await exchange(writer, keys.live)
    const [head = ''] = before.body.access_token.split('.')
    expect(protectedHeader.kid).not.toBe(JSON.parse(Buffer.from(head, 'base64url').toString()).kid)
    const { series } = await scrape(replica.service.urls.ops)
    expect(series.get('mintmark_staleness_extended_seconds')).toBeGreaterThan(0)
  })

  it('refuses a snapshot that is older than the one that was extended', async () => {
    const old = copied(bytes => bytes)
    await writer.admin('PATCH', '/tenants/live', { name: 'renamed' })
    await written()
    await extend(24, 'test', old)
    const reason = await refusal({ MINTMARK_SNAPSHOT_DIR: old }, longAfter())
    expect(reason).toContain('(replayed): It is older than the snapshot that was extended')
  })

  it('that is damaged keeps no snapshot from being used that needs none, and is named where one does', async () => {
    await written()
    const at = copied(bytes => bytes)
    await extend(24, 'test', at)
    const path = join(at, 'emergency-extension')
    writeFileSync(path, flipped(readFileSync(path), readFileSync(path).length - 1))
    const replica = await withoutPostgres({ MINTMARK_SNAPSHOT_DIR: at })
    await replica.service.ready
    expect((await exchange(replica, keys.live)).status).toBe(200)
    const reason = await refusal({ MINTMARK_SNAPSHOT_DIR: at }, longAfter())
    expect(reason).toMatch(
      /\(old\): It is .* The extension in .* is not in effect: It was changed or damaged/,
    )
  })

  it('is audited once when the database is back, however many replicas see it', async () => {
    await extend(25)
    await startReplica(writer, { MINTMARK_SNAPSHOT_DIR: folder }, { clock: snapshotClock() }).then(other =>
      started.push(other),
    )
    const events = async () => (await writer.admin('GET', '/audit-events?action=emergency.extend')).body.data
    const [event] = await until('the event', events, found => found.some(isOf25))
    expect(event).toMatchObject({ actor: 'root', target_kind: 'installation' })
    expect((await events()).filter(isOf25)).toHaveLength(1)
  })
})

const isOf25 = (event: { target_id: string }) => event.target_id === 'ext_25'
