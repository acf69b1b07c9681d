import { setTimeout as sleep } from 'node:timers/promises'
import { scrape } from '../observability/metrics-text.ts'
import { type Experiment, now } from './environment/environment.ts'
import { streams } from './environment/load.ts'
import { WHY } from './environment/report.ts'
import { underLoad } from './environment/under-load.ts'

const MIB = 1_048_576
/** The heap of a replica with 1,000 keys is about half of it at rest. */
const HEAP_MIB = 96
const SHORT_MS = 3_000

/** The heap may have little more than it needs at rest: garbage must be collected in time, under every kind of load. */
export const experiment: Experiment = {
  id: 'F37',
  title: `A heap of ${HEAP_MIB} MiB`,
  run: async environment => {
    const { report } = environment
    let [heap, limit] = [0, 0]
    const rate = (perSecond: number) => ({
      perSecond: environment.rate(perSecond),
      connections: 20,
      connected: true,
    })
    const answered = await underLoad(
      environment,
      {
        start: postgres =>
          environment.replica(postgres.applicationUrl(), {
            NODE_OPTIONS: `--max-old-space-size=${HEAP_MIB}`,
          }),
        usually: { p99: 50 },
        more: replica => [streams.unknown([replica], rate(500)), streams.adminReads([replica], rate(100))],
      },
      async ({ replica, changes }) => {
        const until = now() + (environment.full ? environment.outageMs : SHORT_MS)
        while (now() < until) {
          const { series } = await scrape(replica.urls.ops)
          heap = Math.max(heap, series.get('nodejs_heap_size_used_bytes') ?? Number.NaN)
          limit = HEAP_MIB * MIB
          await sleep(50)
        }
        await changes(5)
      },
    )
    report.note('heap in use, the most', heap / MIB, 'MiB')
    report.invariant('heap in use, the most, of what it may have', heap / limit, {
      atMost: 1.5,
      why: WHY.bounded,
    })
    report.invariant(
      'unknown keys other than 401, or 503 with Retry-After',
      answered('unknown').wrong(401).count,
      {
        exactly: 0,
        why: WHY.honest,
      },
    )
    report.invariant(
      'admin reads other than 200, or 503 with Retry-After',
      answered('adminReads').wrong(200).count,
      { exactly: 0, why: WHY.honest },
    )
  },
}
