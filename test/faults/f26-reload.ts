import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { addStrangersKeys, fillKeys } from './scene/known-keys.ts'
import { streams } from './scene/load.ts'
import { type Experiment, now } from './scene/scene.ts'

/** The position is lost, so the whole directory is read anew, while exchanges go on. */
export const experiment: Experiment = {
  id: 'F26',
  title: 'A full reload under load',
  run: async scene => {
    const { report } = scene
    const postgres = await scene.postgres()
    const known = await fillKeys(postgres, 1_000)
    const strangers = scene.full ? 249_000 : 49_000
    await addStrangersKeys(postgres, strangers)
    const replica = await scene.replica(postgres.applicationUrl())
    const load = scene.load(
      streams.known(
        [replica],
        known.map(({ secret }) => secret),
        { perSecond: 500, connections: 50 },
      ),
    )
    await sleep(2_000)
    const reads = () => replica.process.logged('the directory was loaded again').length
    const spans: [number, number][] = []
    for (let count = 1; count <= 3; count++) {
      const from = now()
      await postgres.sql('UPDATE change_feed SET id = gen_random_uuid()')
      await until('it is read anew', reads, times => times === count, 60_000)
      spans.push([from, now()])
    }
    const answered = (await load.stop())('known')
    const meanwhile = spans.map(([from, to]) => answered.between(from, to))
    report.check('keys in the directory', strangers + known.length, { atLeast: 50_000 })
    report.check('times that it was read anew', reads(), { exactly: 3 })
    report.note('the longest took', Math.max(...spans.map(([from, to]) => to - from)) / 1000, 's')
    report.check(
      'exchanges of known keys meanwhile',
      meanwhile.reduce((sum, { count }) => sum + count, 0),
      { atLeast: 500 },
    )
    report.check(
      'of them failed',
      meanwhile.reduce((sum, samples) => sum + samples.failing(200).count, 0),
      { exactly: 0 },
    )
    report.check(
      'their 99th percentile',
      Math.max(...meanwhile.map(samples => samples.quantile(0.99))),
      { atMost: 200 },
      'ms',
    )
    report.check(
      'the slowest',
      Math.max(...meanwhile.map(samples => samples.quantile(1))),
      { atMost: 1_000 },
      'ms',
    )
  },
}
