import { setTimeout as sleep } from 'node:timers/promises'
import { fillKeys, TENANT } from './scene/known-keys.ts'
import { streams } from './scene/load.ts'
import { trafficOf } from './scene/outage.ts'
import { type Experiment, now } from './scene/scene.ts'

const FLOOD_PER_SECOND = 2_500
const HONEST_PER_SECOND = 200
/** MINTMARK_FAILURES_PER_MINUTE, unless set otherwise. */
const LIMIT = 600
/** More than the pause between two looks at the directory. */
const PAUSE_MS = 200

/** One address sends well-formed keys that nobody has; another exchanges known keys, and keys made a moment ago elsewhere. */
export const experiment: Experiment = {
  id: 'F25',
  title: 'A flood of unknown keys from one address beside honest traffic from another',
  run: async scene => {
    const { report } = scene
    const postgres = await scene.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const limited = { MINTMARK_FAILURES_PER_MINUTE: `${LIMIT}` }
    const flooded = await scene.replica(postgres.applicationUrl(), limited)
    const elsewhere = await scene.replica(postgres.applicationUrl())
    const secrets = keys.map(({ secret }) => secret)
    const honest = scene.load(
      streams.known([flooded], secrets, { perSecond: HONEST_PER_SECOND, connections: 50 }),
    )
    await sleep(1_000)
    const usual = await trafficOf(postgres, 3_000)
    const flood = scene.load(
      streams.unknown([flooded], {
        perSecond: FLOOD_PER_SECOND,
        connections: 32,
        localAddress: '127.0.0.2',
        yields: true,
      }),
    )
    const from = now()
    const fresh: { status: number; ms: number }[] = []
    const counted = trafficOf(postgres, scene.outageMs)
    while (now() - from < scene.outageMs) {
      const made = await elsewhere.admin('POST', `/tenants/${TENANT}/keys`, {})
      fresh.push(await flooded.exchange(made.body.secret))
      await sleep(PAUSE_MS)
    }
    const during = await counted
    const to = now()
    const strangers = (await flood.stop())('unknown')
    const known = (await honest.stop())('known').between(from, to)
    const seconds = scene.outageMs / 1000
    // How many there can be says something of the machine too: CI's is not for itself.
    report.check('unknown keys answered a second', strangers.count / ((to - from) / 1000), {
      atLeast: scene.full ? 2_000 : 1_000,
    })
    const count = (status: number) => strangers.all.filter(sample => sample.status === status).length
    report.note('answers to them', strangers.statuses)
    report.check('of them looked up', count(401), { atMost: LIMIT * Math.ceil(seconds / 60 + 1) })
    report.check('of them neither 401 nor 429', strangers.count - count(401) - count(429), { exactly: 0 })
    report.check('exchanges of known keys', known.count, { atLeast: 1_000 })
    report.check('of them failed', known.failing(200).count, { exactly: 0 })
    report.checkPercentile('their 99th percentile', known.quantile(0.99), 50)
    report.check('exchanges of keys made a moment ago elsewhere', fresh.length, { atLeast: 10 })
    report.check('of them failed', fresh.filter(({ status }) => status !== 200).length, { exactly: 0 })
    report.check('the slowest', Math.max(...fresh.map(({ ms }) => ms)), { atMost: 1_000 }, 'ms')
    // A key made is a few statements of its own, which are not the flood's.
    const usualASecond = usual.statements / 3
    report.note('statements a second without the flood', usualASecond)
    report.check('statements a second with it', during.statements / seconds, {
      atMost: usualASecond + 50 + 20 * (fresh.length / seconds),
    })
  },
}
