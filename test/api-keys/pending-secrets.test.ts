import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Clock } from '../../src/system/clock.ts'
import { adjustableClock, briskClock } from '../support/adjustable-clock.ts'
import { startReplica } from '../support/replicas.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** Jobs of five seconds that the first replica has finished. */
let rounds = 0
const adjustable = adjustableClock()
const counting: Clock = {
  ...briskClock,
  monotonicMs: adjustable.monotonicMs,
  every: (ms, task) =>
    briskClock.every(ms, async () => {
      await task()
      if (ms === 5_000) rounds++
    }),
}

/** Two replicas, each with its own way to Postgres, whose jobs of five seconds run five times a second. */
let database: TestDatabase
let proxies: [TcpProxy & { url: string }, TcpProxy & { url: string }]
let first: TestService
let second: TestService
beforeAll(async () => {
  database = await createTestDatabase()
  proxies = [await TcpProxy.before(database.applicationUrl), await TcpProxy.before(database.applicationUrl)]
  const env = { DATABASE_URL: proxies[0].url }
  first = await startTestService({ database, env, overrides: { clock: counting } })
  second = await startReplica(first, { DATABASE_URL: proxies[1].url }, { clock: briskClock })
})
afterAll(async () => {
  await Promise.all([first.stop(), second.stop()])
  await Promise.all(proxies.map(proxy => proxy.close()))
  await database.drop()
})

const exchange = async (service: TestService, secret: string) =>
  (await service.token({ grant_type: 'client_credentials', client_secret: secret })).status

/** A key with a new secret that waits, and whose time is over in the database. */
async function rotated() {
  const { keyId } = await first.tenantWithKey()
  const body = { confirm_within_seconds: 60, overlap_seconds: 3600 }
  const { body: issued } = await first.admin('POST', `/keys/${keyId}/rotate`, body)
  const lapse = () =>
    database.asOwner(
      "UPDATE pending_secrets SET confirm_by = now() - interval '2 minutes' WHERE secret_id = $1",
      [issued.secret_id],
    )
  const read = () => first.admin('GET', `/keys/${keyId}`)
  // 503 in the first moments after the outage.
  const state = async () => (await until('it answers', read, ({ status }) => status === 200)).body.secrets[0]
  return { keyId, secret: issued.secret as string, secretId: issued.secret_id as string, lapse, state }
}

it('a secret that was used in an outage is confirmed, also when its replica writes that after its time', async () => {
  const last = await first.tenantWithKey()
  expect(await exchange(second, last.secret)).toBe(200)
  const [used, unused] = [await rotated(), await rotated()]
  await first.admin('POST', `/keys/${last.keyId}/disable`)
  await until('the second has all', async () => (await exchange(second, last.secret)) === 400)

  for (const proxy of proxies) await proxy.become('refuse')
  expect(await exchange(second, used.secret)).toBe(200)
  for (const { lapse } of [used, unused]) await lapse()
  await proxies[0].become('none')
  const before = rounds
  await until('the first has looked many times', () => rounds > before + 40)
  expect((await used.state()).state).toBe('live')
  await proxies[1].become('none')
  await until('the use confirms it', async () => (await used.state()).confirm_by === null)
  expect((await used.state()).state).toBe('live')
  expect(await exchange(first, used.secret)).toBe(200)
  // In small steps: a long gap would look like another outage.
  await until(
    'one without a use lapses, once uses had 15 seconds to be written',
    async () => {
      adjustable.forward(0.3)
      return (await unused.state()).state === 'revoked'
    },
    Boolean,
    30_000,
  )
})

it('a secret that is revoked waits no more: its row goes, and nothing is confirmed or revoked again', async () => {
  const { keyId, secretId } = await rotated()
  const waiting = () => database.asOwner('SELECT FROM pending_secrets WHERE secret_id = $1', [secretId])
  expect(await waiting()).toHaveLength(1)
  await first.admin('POST', `/keys/${keyId}/secrets/${secretId}/revoke`)
  await until('the row is gone', async () => (await waiting()).length === 0)
  const events = await database.asOwner<{ action: string }>(
    'SELECT action FROM audit_events WHERE target_id = $1 ORDER BY id',
    [keyId],
  )
  expect(events.map(({ action }) => action)).toEqual(['key.create', 'key.rotate', 'key.secret-revoke'])
})
