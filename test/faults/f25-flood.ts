import { setTimeout as sleep } from 'node:timers/promises'
import { type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys, TENANT } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { reportExchanges, trafficOf } from './environment/outage.ts'
import type { Answer } from './environment/replica.ts'
import { WHY } from './environment/report.ts'

/** The short form leaves CPU time to the other experiments. */
const FLOOD_PER_SECOND = { full: 2_500, short: 800 }
const HONEST_PER_SECOND = 200
/** MINTMARK_FAILURES_PER_MINUTE: the default, and a value that a slow flood reaches too. */
const LIMIT = { full: 600, short: 60 }
/** Minimum number of exchanged keys that were created elsewhere. */
const FRESH = 5
/** Longer than the pause between two lookups. */
const PAUSE_MS = 200

/**
 * One address sends well-formed unknown keys; another exchanges known keys, and keys created elsewhere a moment ago.
 */
export const experiment: Experiment = {
  id: 'F25',
  title: 'A flood of unknown keys from one address during honest traffic from another',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const form = environment.full ? 'full' : 'short'
    const limited = { MINTMARK_FAILURES_PER_MINUTE: `${LIMIT[form]}` }
    const flooded = await environment.replica(postgres.applicationUrl(), limited)
    const elsewhere = await environment.replica(postgres.applicationUrl())
    const secrets = keys.map(({ secret }) => secret)
    const honest = environment.load(
      streams.known([flooded], secrets, { perSecond: HONEST_PER_SECOND, connections: 50 }),
    )
    /** Creates keys elsewhere and exchanges each at once: at least until then, and at least so many that work. */
    const exchangeFresh = async (end: number, atLeast: number): Promise<Answer[]> => {
      const answers: Answer[] = []
      const works = () => answers.filter(({ status }) => status === 200).length
      while (now() < end || (works() < atLeast && now() < end + PATIENCE_MS)) {
        const made = await elsewhere.change(`/tenants/${TENANT}/keys`, {})
        answers.push(await flooded.exchange(made.body.secret))
        await sleep(PAUSE_MS)
      }
      return answers
    }
    await sleep(1_000)
    const [usual] = await Promise.all([
      trafficOf(postgres, environment.outageMs),
      exchangeFresh(now() + environment.outageMs, 0),
    ])
    const flood = environment.load(
      streams.unknown([flooded], {
        perSecond: FLOOD_PER_SECOND[form],
        connections: 32,
        localAddress: '127.0.0.2',
        floods: true,
      }),
    )
    const from = now()
    const [during, fresh] = await Promise.all([
      trafficOf(postgres, environment.outageMs),
      exchangeFresh(from + environment.outageMs, FRESH),
    ])
    const to = now()
    const unknownKeys = (await flood.stop())('unknown')
    const known = (await honest.stop())('known').between(from, to)
    const seconds = environment.outageMs / 1000
    report.measurement('unknown keys answered a second', unknownKeys.count / ((to - from) / 1000), {
      atLeast: FLOOD_PER_SECOND[form] * 0.8,
    })
    const count = (status: number) => unknownKeys.all.filter(sample => sample.status === status).length
    report.note('answers to unknown keys', unknownKeys.statuses)
    report.invariant('unknown keys beyond the limit', count(429), { atLeast: 1, why: WHY.carriedOut })
    report.invariant('unknown keys looked up', count(401), {
      atMost: LIMIT[form] * Math.ceil((to - from) / 60_000 + 1),
      why: WHY.bounded,
    })
    report.invariant(
      'unknown keys other than 401 and 429, or 503 with Retry-After',
      unknownKeys.wrong(401, 429).count,
      { exactly: 0, why: WHY.honest },
    )
    report.measurement('unknown keys that were 503', unknownKeys.honest.count, { exactly: 0 })
    reportExchanges(report, known, { atLeast: 100, p99: 50 })
    // The flooded replica does not know them: where Postgres is slow, 503 is correct.
    const made = 'exchanges of keys made a moment ago elsewhere'
    const late = fresh.filter(({ status, headers }) => status === 503 && headers['retry-after'])
    const works = fresh.filter(({ status }) => status === 200).length
    report.invariant(made, works, { atLeast: FRESH, why: WHY.carriedOut })
    report.invariant(`${made} other than 200, or 503 with Retry-After`, fresh.length - works - late.length, {
      exactly: 0,
      why: WHY.knownKeys,
    })
    report.measurement(`${made} that were 503`, late.length, { exactly: 0 })
    report.measurement(`${made}, the slowest`, Math.max(...fresh.map(({ ms }) => ms)), {
      atMost: 1_000,
      unit: 'ms',
    })
    report.note('statements a second without the flood', usual.statements / seconds)
    const added = (during.statements - usual.statements) / seconds
    report.measurement('statements a second that the flood adds', added, { atMost: 50 })
  },
}
