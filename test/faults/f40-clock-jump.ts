import { setTimeout as sleep } from 'node:timers/promises'
import { decodeJwt } from 'jose'
import { scrape } from '../observability/metrics-text.ts'
import { until } from '../support/until.ts'
import { type Experiment, PATIENCE_MS } from './environment/environment.ts'
import type { Replica } from './environment/replica.ts'
import { WHY } from './environment/report.ts'
import { underLoad } from './environment/under-load.ts'

/** Forward, behind, and right again. */
const JUMPS = 3
const PRELOAD = new URL('environment/jumping-clock.ts', import.meta.url)
const NEAR_S = 3
const MOST_S = 30
const HOUR_S = 3_600

/** The host's clock jumps an hour forward, an hour behind, and back; the database's does not. */
export const experiment: Experiment = {
  id: 'F40',
  title: "A replica's clock jumps by an hour, both ways",
  run: async environment => {
    const { report } = environment
    const offsets: number[] = []
    const errors: number[] = []
    await underLoad(
      environment,
      {
        start: postgres =>
          environment.replica(postgres.applicationUrl(), { NODE_OPTIONS: `--import=${PRELOAD.href}` }),
        usually: { p99: 50 },
      },
      async ({ replica, secrets, changes }) => {
        for (let jump = 0; jump < JUMPS; jump++) {
          const before = await offsetOf(replica)
          process.kill(replica.process.pid, 'SIGUSR2')
          const jumped = () => offsetOf(replica)
          const differs = (offset: number) => Math.abs(offset - before) > HOUR_S / 2
          for (let count = 0; count < 10; count++) {
            errors.push(await timeError(replica, secrets[count] ?? ''))
            await sleep(environment.full ? 1_000 : 50)
          }
          offsets.push(await until('the clock jumps', jumped, differs, PATIENCE_MS))
          await changes(3)
        }
      },
    )
    report.invariant('jumps that the metric of the clock shows', offsets.length, {
      exactly: JUMPS,
      why: WHY.carriedOut,
    })
    report.promise('error of the dates in tokens, the most', Math.max(...errors), {
      usually: NEAR_S,
      atMost: MOST_S,
      unit: 's',
      why: WHY.dated,
    })
  },
}

const offsetOf = async (replica: Replica): Promise<number> =>
  (await scrape(replica.urls.ops)).series.get('mintmark_clock_offset_seconds') ?? Number.NaN

/** By how much the token of an exchange now is dated wrongly, in seconds. */
async function timeError(replica: Replica, secret: string): Promise<number> {
  const { body } = await replica.exchange(secret)
  const { iat = Number.NaN } = decodeJwt(body.access_token)
  return Math.abs(Date.now() / 1000 - iat)
}
