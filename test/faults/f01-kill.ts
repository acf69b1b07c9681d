import type { Experiment } from './scene/environment.ts'
import { measureOutage } from './scene/outage.ts'

/** kill -9 of Postgres and all its children; later a start, which recovers. */
export const experiment: Experiment = {
  id: 'F1',
  title: 'kill -9 of Postgres',
  run: async scene => {
    const postgres = await scene.postgres()
    await measureOutage(scene, {
      postgres,
      url: postgres.applicationUrl(),
      begin: () => postgres.kill(),
      end: () => postgres.start(),
    })
  },
}
