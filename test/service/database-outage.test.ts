import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { type Fault, TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { type JsonAnswer, request, startTestService, type TestService } from '../support/test-service.ts'
import { BUSY, timed, until } from '../support/until.ts'

const MAX_CONNECTIONS = 5

let database: TestDatabase
let proxy: TcpProxy
let mintmark: TestService
let key: string
let tenant: string

beforeAll(async () => {
  database = await createTestDatabase()
  const behind = await TcpProxy.before(database.applicationUrl)
  proxy = behind
  const env = { DATABASE_URL: behind.url, MINTMARK_DATABASE_MAX_CONNECTIONS: String(MAX_CONNECTIONS) }
  mintmark = await startTestService({ database, env })
  const made = await mintmark.tenantWithKey()
  key = made.secret
  tenant = made.tenantId
})
afterEach(async () => {
  await proxy.become('none')
  await until('keys are looked up again', unknown, ({ status }) => status === 401)
})
afterAll(async () => {
  await mintmark.stop()
  await proxy.close()
  await database.drop()
})

const present = (client_secret: string) => mintmark.token({ grant_type: 'client_credentials', client_secret })
/** Of a key that this replica knows. */
const exchange = () => present(key)
/** Of a well-formed unknown key, another one each time. */
const unknown = () => present(formatCredential('mmk', randomId(systemRandom), systemRandom))
const FAULTS: Fault[] = ['cut', 'refuse', 'hang', 'freeze']

/** 503 in time, in each transport's own format. */
function expectUnavailable({ ms, result }: { ms: number; result: JsonAnswer }, word: string): void {
  expect([result.status, result.headers.get('retry-after')]).toEqual([503, '1'])
  expect(result.body.error ?? result.body.code).toBe(word)
  expect(ms).toBeLessThan(1_000 * BUSY)
}

describe.each(FAULTS)('while the database connection does this: %s', fault => {
  it('a known key is exchanged without waiting, a thousand times in a row', async () => {
    await proxy.become(fault)
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(Array.from({ length: 50 }, () => timed(exchange)))
      expect(answers.map(({ result }) => result.status)).toEqual(answers.map(() => 200))
      expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(500 * BUSY)
    }
  })

  it('an unknown key is 503 with Retry-After within a second, for every one of eight in a row', async () => {
    await proxy.become(fault)
    for (let count = 0; count < 8; count++) expectUnavailable(await timed(unknown), 'temporarily_unavailable')
  })

  it('reading and writing at the admin API are 503 with Retry-After within a second', async () => {
    await proxy.become(fault)
    expectUnavailable(await timed(() => mintmark.admin('GET', `/tenants/${tenant}`)), 'unavailable')
    expectUnavailable(
      await timed(() => mintmark.admin('POST', '/tenants', { id: `never-${fault}` })),
      'unavailable',
    )
    expectUnavailable(await timed(() => mintmark.admin('POST', '/signing-keys/rotate')), 'unavailable')
  })

  it('a malformed key is still 401, and what needs no database continues', async () => {
    await proxy.become(fault)
    const malformed = await mintmark.token({
      grant_type: 'client_credentials',
      client_secret: `${key.slice(0, -1)}!`,
    })
    expect(malformed.status).toBe(401)
    const { urls } = mintmark.service
    const paths = [
      `${urls.public}/.well-known/jwks.json`,
      `${urls.public}/.well-known/openid-configuration`,
      `${urls.ops}/readyz`,
      `${urls.ops}/livez`,
    ]
    for (const path of paths) {
      const { ms, result } = await timed(() => request(path))
      expect([path, result.status]).toEqual([path, 200])
      expect(ms).toBeLessThan(250 * BUSY)
    }
  })

  it('it recovers within 2 s, and nothing of the rejected writes was stored', async () => {
    await proxy.become(fault)
    await Promise.all(Array.from({ length: 20 }, unknown))
    await mintmark.admin('POST', '/tenants', { id: `lost-${fault}` })
    await proxy.become('none')
    const { ms } = await timed(() => until('a lookup', unknown, ({ status }) => status === 401))
    expect(ms).toBeLessThan(2_000 * BUSY)
    expect((await mintmark.admin('GET', `/tenants/lost-${fault}`)).status).toBe(404)
  })
})

describe('connections to the database', () => {
  const backends = async () => {
    const rows = await database.asOwner<{ count: number }>(
      "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'mintmark%'",
      [database.name],
    )
    return rows[0]?.count ?? 0
  }

  it.each(['hang', 'cut'] as const)('do not leak while 200 requests meet the fault "%s"', async fault => {
    await proxy.become(fault)
    const reads = () => mintmark.admin('GET', `/tenants/${tenant}`)
    const asked = [...Array.from({ length: 200 }, () => unknown), ...Array.from({ length: 50 }, () => reads)]
    const answers = await Promise.all(asked.map(ask => timed(ask)))
    expect(answers.map(({ result }) => result.status)).toEqual(answers.map(() => 503))
    expect(Math.max(...answers.map(({ ms }) => ms))).toBeLessThan(3_000 * BUSY)
    await until('what is left fits the pools', backends, count => count <= MAX_CONNECTIONS)
    expect(proxy.connections).toBeLessThanOrEqual(MAX_CONNECTIONS)
    await proxy.become('none')
    await until('a lookup', unknown, ({ status }) => status === 401)
    const after = await Promise.all(Array.from({ length: 50 }, unknown))
    expect(after.map(({ status }) => status)).toEqual(after.map(() => 401))
    expect(await backends()).toBeLessThanOrEqual(MAX_CONNECTIONS)
  })

  it('do not pile up on the server behind a lock that another session holds', async () => {
    const holder = new pg.Client({ connectionString: database.ownerUrl })
    await holder.connect()
    await holder.query('BEGIN')
    await holder.query('LOCK TABLE api_key_secrets IN ACCESS EXCLUSIVE MODE')
    for (let round = 0; round < 4; round++) {
      const answers = await Promise.all(Array.from({ length: 10 }, () => timed(unknown)))
      expect(answers.map(({ result }) => result.status)).toEqual(answers.map(() => 503))
      await until('what is left fits the pools', backends, count => count <= MAX_CONNECTIONS)
    }
    await holder.query('ROLLBACK')
    await holder.end()
  })

  it('that were terminated on the server are replaced with at most one failed request each', async () => {
    await Promise.all(Array.from({ length: 20 }, unknown))
    await database.asOwner(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'mintmark%'",
      [database.name],
    )
    const answers: number[] = []
    for (let count = 0; count < 40; count++) answers.push((await unknown()).status)
    expect(answers.filter(status => status !== 401 && status !== 503)).toEqual([])
    expect(answers.filter(status => status === 503).length).toBeLessThanOrEqual(MAX_CONNECTIONS)
  })
})

describe('a write', () => {
  it('that waits for a locked row is 503 within 1.5 s, and succeeds when it is released', async () => {
    const holder = new pg.Client({ connectionString: database.ownerUrl })
    await holder.connect()
    await holder.query('BEGIN')
    await holder.query('SELECT FROM tenants WHERE id = $1 FOR UPDATE', [tenant])
    const { ms, result } = await timed(() => mintmark.admin('PATCH', `/tenants/${tenant}`, { name: 'held' }))
    expect([result.status, result.headers.get('retry-after')]).toEqual([503, '1'])
    expect(ms).toBeLessThan(1_500 * BUSY)
    await holder.query('ROLLBACK')
    await holder.end()
    expect((await mintmark.admin('PATCH', `/tenants/${tenant}`, { name: 'free' })).body.name).toBe('free')
  })
})

describe('the log of an outage', () => {
  it('reports a failing background task once when it begins and once when it is over', async () => {
    const told = (msg: string) =>
      mintmark.logs
        .map(line => JSON.parse(line))
        .filter(line => line.task === 'measure the database clock' && line.msg === msg)
    await until(
      'the outages before are over',
      () => told('background task failed; retrying').length === told('recovered').length,
    )
    const [failed, recovered] = [told('background task failed; retrying').length, told('recovered').length]
    await proxy.become('refuse')
    await until(
      'the failure is told',
      () => told('background task failed; retrying').length,
      count => count === failed + 1,
    )
    const seen = performance.now()
    await until('three more attempts have passed', () => performance.now() - seen > 3_200)
    expect(told('background task failed; retrying')).toHaveLength(failed + 1)
    await proxy.become('none')
    await until(
      'the recovery is logged',
      () => told('recovered').length,
      count => count === recovered + 1,
    )
  })
})
