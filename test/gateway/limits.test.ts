import { afterAll, beforeAll, expect, it } from 'vitest'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { promptedClock } from '../support/adjustable-clock.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { ask, bearer, deniedAs } from './check-client.ts'

const PER_MINUTE = 5

const clock = promptedClock()
let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService({
    env: { MINTMARK_FAILURES_PER_MINUTE: String(PER_MINUTE), MINTMARK_TRUSTED_PROXIES: '127.0.0.0/8' },
    overrides: { clock },
  })
})
afterAll(() => mintmark.stop())

const from = (secret: string, address: string) =>
  ask(mintmark, { headers: [...bearer(secret), ['x-forwarded-for', address]] })
const anUnknownKey = () => formatCredential('mmk', 'A'.repeat(16), systemRandom)

it('unknown keys are 401 up to the limit of their address, then 403 with the reason, and never 429', async () => {
  const address = '198.51.100.7'
  for (let time = 0; time < PER_MINUTE; time++) expect((await from(anUnknownKey(), address)).status).toBe(401)
  expect(deniedAs(await from(anUnknownKey(), address))).toBe('403 too_many_failures')
  expect((await from(anUnknownKey(), '198.51.100.8')).status).toBe(401)
  const known = await mintmark.tenantWithKey()
  expect((await from(known.secret, address)).status).toBe(200)
})

it('a new token counts as an exchange of its key, a reused one does not', async () => {
  const { secret, keyId } = await mintmark.tenantWithKey()
  for (let time = 0; time < 3; time++) await from(secret, '198.51.100.9')
  const counts = await until(
    'written',
    async () => {
      await clock.runJobs()
      const counted = 'SELECT outcome, count::int AS count FROM key_usage WHERE key_id = $1'
      return mintmark.database.asOwner(counted, [keyId])
    },
    rows => rows.length > 0,
  )
  expect(counts).toEqual([{ outcome: 'exchanged', count: 1 }])
})
