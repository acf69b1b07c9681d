import type { Experiment } from './environment/environment.ts'
import { partitionable } from './environment/network.ts'
import { measureOutage } from './environment/outage.ts'

/** Packets to and from Postgres are dropped in both directions; later they pass again. */
export const experiment: Experiment = {
  id: 'F3',
  title: 'Postgres behind a partition, then healed',
  run: async environment => {
    const { postgres, far, how, cut, heal } = await partitionable(environment)
    environment.report.note('how', how)
    await measureOutage(environment, { postgres, url: far, begin: cut, end: heal })
  },
}
