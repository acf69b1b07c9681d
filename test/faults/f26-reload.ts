import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { type Experiment, now, PATIENCE_MS } from './environment/environment.ts'
import { addUnknownKeys, fillKeys } from './environment/known-keys.ts'
import { Samples, streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import { WHY } from './environment/report.ts'

/** The position is lost, so the whole directory is reloaded while exchanges continue. */
export const experiment: Experiment = {
  id: 'F26',
  title: 'A full reload under load',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const known = await fillKeys(postgres, 1_000)
    const unknownKeys = environment.full ? 249_000 : 19_000
    await addUnknownKeys(postgres, unknownKeys)
    const replica = await environment.replica(postgres.applicationUrl())
    const load = environment.load(
      streams.known(
        [replica],
        known.map(({ secret }) => secret),
        { perSecond: environment.rate(500), connections: 50 },
      ),
    )
    await sleep(2_000)
    const reads = () => replica.process.logged('directory reloaded').length
    const spans: [number, number][] = []
    for (let count = 1; count <= 3; count++) {
      const from = now()
      await postgres.sql('UPDATE change_feed SET id = gen_random_uuid()')
      await until('it is read again', reads, times => times >= count, 3 * PATIENCE_MS)
      spans.push([from, now()])
    }
    const answered = (await load.stop())('known')
    const meanwhile = spans.flatMap(([from, to]) => answered.between(from, to).all)
    report.note('keys in the directory', unknownKeys + known.length)
    report.invariant('times that it was read again', reads(), { atLeast: 3, why: WHY.carriedOut })
    report.note('the longest took', Math.max(...spans.map(([from, to]) => to - from)) / 1000, 's')
    reportExchanges(report, new Samples(meanwhile), { atLeast: 20, p99: 200, slowest: 1_000 })
  },
}
