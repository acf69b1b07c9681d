import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type AdjustableClock, adjustableClock } from '../support/adjustable-clock.ts'
import { lacksPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { startReplica } from '../support/replicas.ts'
import { type Fault, TcpProxy } from '../support/tcp-proxy.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { BUSY, timed, until } from '../support/until.ts'

type Key = Awaited<ReturnType<TestService['tenantWithKey']>>

let here: TestService
let away: TestService
let clock: AdjustableClock
let proxy: TcpProxy & { url: string }
let key: Key

beforeAll(async () => {
  here = await startTestService()
  proxy = await TcpProxy.before(here.database.applicationUrl)
  clock = adjustableClock()
  away = await startReplica(here, { DATABASE_URL: proxy.url }, { clock })
  key = await here.tenantWithKey()
  await followed()
})
afterEach(async () => {
  await proxy.become('none')
  await followed()
})
afterAll(async () => {
  await away.stop()
  await proxy.close()
  await here.stop()
})

/** At the disconnected replica. */
const exchange = ({ secret }: Key) => away.token({ grant_type: 'client_credentials', client_secret: secret })
/** The replica has completed a poll that it began after this call. */
const followed = () => {
  const called = clock.monotonicMs()
  const since = () => (clock.monotonicMs() - called) / 1000
  return until('the replica follows', () => away.service.changes.stalenessSeconds < since())
}
const revoke = ({ keyId }: Key) => here.admin('POST', `/keys/${keyId}/revoke`)
const FAULTS: Fault[] = ['cut', 'refuse', 'hang', 'freeze']

describe.each(FAULTS)('a replica whose connection to the database does this: %s', fault => {
  it('does not know revocations made elsewhere, and applies them within 2 s of the connection’s return', async () => {
    const leaked = await here.tenantWithKey()
    await followed()
    await proxy.become(fault)
    await revoke(leaked)
    expect((await exchange(leaked)).status).toBe(200)
    await proxy.become('none')
    const { ms } = await timed(() =>
      until(
        'it is rejected',
        () => exchange(leaked),
        ({ status }) => status === 401,
      ),
    )
    expect(ms).toBeLessThan(2_000 * BUSY)
  })

  it('answers 503 for a key that was created elsewhere meanwhile, and exchanges it within 2 s of the return', async () => {
    await proxy.become(fault)
    const made = await here.tenantWithKey()
    const refused = await exchange(made)
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
    await proxy.become('none')
    const { ms } = await timed(() =>
      until(
        'it works',
        () => exchange(made),
        ({ status }) => status === 200,
      ),
    )
    expect(ms).toBeLessThan(2_000 * BUSY)
  })

  it('accepts known keys for 15 minutes and no second longer, and stays ready all the time', async () => {
    await proxy.become(fault)
    clock.forward(890)
    expect((await exchange(key)).status).toBe(200)
    clock.forward(10)
    const { ms, result } = await timed(() => exchange(key))
    expect([result.status, result.headers.get('retry-after'), result.body.error]).toEqual([
      503,
      '1',
      'temporarily_unavailable',
    ])
    expect(ms).toBeLessThan(1_000 * BUSY)
    const { urls } = away.service
    for (const path of [`${urls.public}/.well-known/jwks.json`, `${urls.ops}/readyz`]) {
      expect((await request(path)).status).toBe(200)
    }
    await proxy.become('none')
    const back = await timed(() =>
      until(
        'it works again',
        () => exchange(key),
        ({ status }) => status === 200,
      ),
    )
    expect(back.ms).toBeLessThan(2_000 * BUSY)
  })
})

it('a tenant with zero staleness is 503 in an outage, and no other is', async () => {
  const strict = await here.tenantWithKey({ staleness_seconds: 0 })
  expect((await exchange(strict)).status).toBe(200)
  await here.admin('POST', `/tenants/${strict.tenantId}/suspend`)
  expect((await exchange(strict)).status, 'without waiting for a poll').toBe(400)
  await here.admin('POST', `/tenants/${strict.tenantId}/resume`)
  await proxy.become('cut')
  expect([(await exchange(strict)).status, (await exchange(key)).status]).toEqual([503, 200])
})

it('the log counts how long directory is stale: changes cannot be read from the database, from the first second', async () => {
  const told = () =>
    away.logs
      .map(line => JSON.parse(line))
      .filter(({ msg }) => msg === 'directory is stale: changes cannot be read from the database')
  const before = told().length
  clock.forward(60)
  await proxy.become('refuse')
  const lines = await until('it is logged', told, found => found.length > before)
  expect(lines.at(-1)).toMatchObject({ level: 'warn', seconds: expect.any(Number), limitSeconds: 900 })
})

describe.skipIf(lacksPgBouncer())('through PgBouncer in transaction mode', () => {
  it.each([
    ['with DATABASE_URL_DIRECT', true, 250 * BUSY],
    ['without', false, 1_000 * BUSY],
  ])('%s, a revocation is seen, and a replica has applied what it commits', async (_, direct, withinMs) => {
    const { ownerUrl, applicationUrl } = here.database
    const pooler = await startPgBouncer(ownerUrl, applicationUrl)
    const pooled = await startReplica(here, {
      DATABASE_URL: pooler.through(applicationUrl),
      ...(direct && { DATABASE_URL_DIRECT: applicationUrl }),
    })
    const present = ({ secret }: Key) =>
      pooled.token({ grant_type: 'client_credentials', client_secret: secret })
    try {
      for (let count = 0; count < 5; count++) {
        const leaked = await here.tenantWithKey()
        expect((await present(leaked)).status).toBe(200)
        await revoke(leaked)
        const seen = () =>
          until(
            'it is refused',
            () => present(leaked),
            ({ status }) => status === 401,
          )
        expect((await timed(seen)).ms).toBeLessThan(withinMs)
        const own = await pooled.tenantWithKey()
        expect((await present(own)).status).toBe(200)
        await pooled.admin('POST', `/keys/${own.keyId}/revoke`)
        expect((await present(own)).status).toBe(401)
      }
    } finally {
      await pooled.stop()
      await pooler.stop()
    }
  })
})
