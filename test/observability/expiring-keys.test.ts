import { afterAll, beforeAll, expect, it } from 'vitest'
import { startReplica } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { scrape } from './metrics-text.ts'

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
})
afterAll(() => mintmark.stop())

const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()
const key = async (days: number) =>
  (await mintmark.admin('POST', '/tenants/acme/keys', { expires_at: inDays(days) })).body

it('the keys that will expire are counted at startup, and those of them that are in use', async () => {
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  const [used, idle] = [await key(3), await key(6.9)]
  for (const days of [7.1, 29.9, 30.1]) await key(days)
  for (const ended of ['expires_at = now()', 'revoked_at = now()']) {
    const { id } = await key(3)
    await mintmark.database.asOwner(`UPDATE api_keys SET ${ended} WHERE id = $1`, [id])
  }
  await mintmark.database.asOwner(
    "UPDATE api_keys SET last_used_on = now() AT TIME ZONE 'UTC' - CASE id WHEN $1 THEN interval '6 days' ELSE interval '8 days' END WHERE id IN ($1, $2)",
    [used.id, idle.id],
  )
  const replica = await startReplica(mintmark)
  const counted = await until(
    'they are counted',
    async () => (await scrape(replica.service.urls.ops)).series,
    series => series.has('mintmark_used_keys_expiring'),
  )
  await replica.stop()
  const values = [
    'mintmark_keys_expiring{within="7d"}',
    'mintmark_keys_expiring{within="30d"}',
    'mintmark_used_keys_expiring',
  ]
  expect(values.map(name => counted.get(name))).toEqual([2, 4, 1])
})
