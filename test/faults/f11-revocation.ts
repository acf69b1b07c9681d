import { setTimeout as sleep } from 'node:timers/promises'
import type { Experiment } from './environment/environment.ts'
import { fillKeys, type Key } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import type { Postgres } from './environment/postgres.ts'
import { WHY } from './environment/report.ts'
import { allListen, reportRevocations, revokeAll } from './environment/revocation.ts'

/**
 * Three replicas under load; keys are revoked at one of them, first with LISTEN, then with all listeners killed
 * repeatedly.
 */
export const experiment: Experiment = {
  id: 'F11',
  title: 'Revocation with three replicas under load',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const [notified, polled] = environment.full ? [500, 50] : [50, 10]
    const keys = await fillKeys(postgres, 1_000 + notified + polled)
    const replicas = [
      await environment.replica(postgres.applicationUrl()),
      await environment.replica(postgres.applicationUrl()),
      await environment.replica(postgres.applicationUrl()),
    ] as const
    const take = (count: number): Key[] => keys.splice(0, count)
    const [first, second] = [take(notified), take(polled)]
    const load = environment.load(
      streams.known(
        replicas,
        keys.map(({ secret }) => secret),
        { perSecond: environment.rate(300), connections: 30 },
      ),
    )
    await allListen(replicas)
    reportRevocations(report, 'with LISTEN', await revokeAll(first, replicas[0], replicas), {
      p99: 250,
      enforced: 1_000,
    })

    const killing = killListeners(postgres)
    const took = await revokeAll(second, replicas[0], replicas)
    const killed = await killing.stop()
    report.invariant('listeners killed', killed, { atLeast: 3, why: WHY.carriedOut })
    reportRevocations(report, 'while every listener is killed', took, { enforced: 2_000 })
    reportExchanges(report, (await load.stop())('known'), { atLeast: 100, p99: 50 })
  },
}

/** Every 100 ms, until stopped; returns the number of killed listeners. */
function killListeners(postgres: Postgres): { stop(): Promise<number> } {
  let over = false
  const statement =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'mintmark-listener'"
  const killing = async () => {
    let killed = 0
    for (; !over; await sleep(100)) killed += (await postgres.sql(statement)).length
    return killed
  }
  const all = killing()
  // The caller of `stop` receives a failure; an earlier one must not be unhandled.
  all.catch(() => {})
  return {
    stop: () => {
      over = true
      return all
    },
  }
}
