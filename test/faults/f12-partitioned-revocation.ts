import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { partitionable } from './environment/network.ts'
import { reportExchanges } from './environment/outage.ts'
import { WHY } from './environment/report.ts'
import { allListen, reportRevocations, revokeAll } from './environment/revocation.ts'

/** One of three replicas loses its connection to Postgres; keys are revoked at another; then the partition heals. */
export const experiment: Experiment = {
  id: 'F12',
  title: 'Revocation while a replica is cut off',
  run: async environment => {
    const { report } = environment
    const { postgres, near, far, how, cut, heal } = await partitionable(environment)
    report.note('how', how)
    const keys = await fillKeys(postgres, 500)
    const connected = [await environment.replica(near), await environment.replica(near)] as const
    const away = await environment.replica(far)
    const leaked = keys.splice(0, environment.full ? 50 : 10)
    const load = environment.load(
      streams.known(
        [...connected, away],
        keys.map(({ secret }) => secret),
        { perSecond: environment.rate(300), connections: 30 },
      ),
    )
    await allListen(connected)
    await cut()
    const cutAt = now()
    reportRevocations(
      report,
      'at the replicas that are connected',
      await revokeAll(leaked, connected[0], connected),
      { p99: 250, enforced: 1_000 },
    )
    const honoured = await Promise.all(leaked.map(({ secret }) => away.exchange(secret)))
    report.invariant(
      'revoked keys that the one cut off honours, within its staleness',
      honoured.filter(({ status }) => status === 200).length,
      { exactly: leaked.length, why: WHY.knownKeys },
    )
    await sleep(Math.max(0, cutAt + environment.outageMs - now()))
    await heal()
    const healed = now()
    await Promise.all(
      leaked.map(({ secret }) =>
        until(
          'it is refused',
          () => away.exchange(secret),
          ({ status }) => status === 401,
          PATIENCE_MS,
        ),
      ),
    )
    report.promise('after the partition it rejects them all within', (now() - healed) / 1000, {
      usually: 2,
      atMost: 15,
      unit: 's',
      why: WHY.revoked,
    })
    reportExchanges(report, (await load.stop())('known'), { atLeast: 100 })
  },
}
