import type { Experiment } from './scene/environment.ts'
import { measureOutage } from './scene/outage.ts'

/** The server and all its children stand still: sockets stay open, the kernel accepts new ones, nobody answers. */
export const experiment: Experiment = {
  id: 'F2',
  title: 'SIGSTOP of Postgres and its backends',
  run: async scene => {
    const postgres = await scene.postgres()
    const begin = () => postgres.signal('SIGSTOP')
    await measureOutage(scene, {
      postgres,
      url: postgres.applicationUrl(),
      begin,
      end: () => postgres.signal('SIGCONT'),
    })
  },
}
