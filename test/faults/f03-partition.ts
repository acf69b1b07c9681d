import type { Experiment } from './scene/environment.ts'
import { partitionable } from './scene/network.ts'
import { measureOutage } from './scene/outage.ts'

/** Packets to and from Postgres vanish, in both directions; later they pass again. */
export const experiment: Experiment = {
  id: 'F3',
  title: 'Postgres behind a partition, then healed',
  run: async scene => {
    const { postgres, far, how, cut, heal } = await partitionable(scene)
    scene.report.note('how', how)
    await measureOutage(scene, { postgres, url: far, begin: cut, end: heal })
  },
}
