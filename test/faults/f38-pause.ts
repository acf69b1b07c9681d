import { setTimeout as sleep } from 'node:timers/promises'
import { type Experiment, now } from './environment/environment.ts'
import { TENANT } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { WHY } from './environment/report.ts'
import { underLoad } from './environment/under-load.ts'

const REVOKED = 10
const SHORT_MS = 1_500
const AFTERWARDS_MS = 500

/** One of two replicas is stopped (SIGSTOP) and continued, as on a host that is paused; both have load. */
export const experiment: Experiment = {
  id: 'F38',
  title: 'One of two replicas is on a host that is paused',
  run: async environment => {
    const { report } = environment
    await underLoad(environment, { usually: { p99: 50 } }, async ({ replica, postgres, secrets }) => {
      const paused = await environment.replica(postgres.applicationUrl())
      const load = environment.load(
        streams.known([paused], secrets, { perSecond: environment.rate(100), connections: 50 }),
      )
      const create = () => replica.change(`/tenants/${TENANT}/keys`, {})
      const created = await Promise.all(Array.from({ length: REVOKED }, create))
      await sleep(AFTERWARDS_MS)
      process.kill(paused.process.pid, 'SIGSTOP')
      const asked = created.map(({ body }) => paused.exchange(body.secret))
      const revoked = await Promise.all(
        created.map(({ body }) => replica.change(`/keys/${body.id}/revoke`, {})),
      )
      await sleep(environment.full ? environment.outageMs : SHORT_MS)
      const continued = now()
      process.kill(paused.process.pid, 'SIGCONT')
      const answers = await Promise.all(asked)
      await sleep(AFTERWARDS_MS)
      const known = (await load.stop())('known')

      report.invariant('keys revoked while it is paused', count(revoked, 200), {
        exactly: REVOKED,
        why: WHY.carriedOut,
      })
      report.invariant(
        'of their exchanges, sent in the pause, those other than 401, or 503 with Retry-After',
        answers.filter(({ status, headers }) => status !== 401 && !(status === 503 && headers['retry-after']))
          .length,
        { exactly: 0, why: WHY.revoked },
      )
      report.measurement('those that were 503', count(answers, 503), { exactly: 0 })
      report.invariant('exchanges of known keys at the paused replica', known.count, {
        atLeast: 20,
        why: WHY.carriedOut,
      })
      report.invariant(
        'exchanges of known keys at the paused replica that failed',
        known.failing(200).count,
        {
          exactly: 0,
          why: WHY.knownKeys,
        },
      )
      const until = known.all.filter(({ at }) => at < continued).map(({ at, ms }) => at + ms - continued)
      report.measurement(
        'from the end of the pause until all that was sent in it is answered',
        Math.max(...until),
        {
          atMost: 500,
          unit: 'ms',
        },
      )
    })
  },
}

const count = (answers: readonly { status: number }[], status: number) =>
  answers.filter(answer => answer.status === status).length
