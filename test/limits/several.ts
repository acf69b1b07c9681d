import { setTimeout as sleep } from 'node:timers/promises'
import type { Checks } from '../engine/checks.ts'
import { startRateLimitService } from './programs.ts'
import { ask, type Setting } from './setting.ts'

/** How long the requests of one window may take on a busy machine. */
const ROOM_SECONDS = 20

/** Two Envoys, each with a rate limit service of its own (as its developers build it, with the real time), on one Redis. */
export async function checkSeveral(checks: Checks, setting: Setting): Promise<void> {
  console.log('\ntwo Envoys, two rate limit services, one Redis')
  const { home, redis, anotherEnvoy, tenant } = setting
  const services = [await startRateLimitService(home, redis), await startRateLimitService(home, redis)]
  try {
    const envoys = await Promise.all(services.map(({ port }) => anotherEnvoy(port)))
    const made = await tenant({ requests_per_minute: 7 })
    const left = 60 - ((Date.now() / 1_000) % 60)
    if (left < ROOM_SECONDS) await sleep(left * 1_000)
    await checks.equal(
      '20 requests at the same time through both: exactly 7 of 7 a minute pass',
      [7, 13],
      async () => {
        const all = await Promise.all(
          Array.from({ length: 20 }, (_, i) => ask(envoys[i % 2]?.url ?? '', made.token)),
        )
        return [200, 429].map(wanted => all.filter(({ status }) => status === wanted).length)
      },
    )
    for (const envoy of envoys) await envoy.stop()
  } finally {
    for (const service of services) await service.stop()
  }
}
