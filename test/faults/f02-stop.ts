import type { Experiment } from './environment/environment.ts'
import { measureOutage } from './environment/outage.ts'

/** The server and all its children are stopped: sockets stay open, the kernel accepts new ones, nothing answers. */
export const experiment: Experiment = {
  id: 'F2',
  title: 'SIGSTOP of Postgres and its backends',
  run: async environment => {
    const postgres = await environment.postgres()
    const begin = () => postgres.signal('SIGSTOP')
    await measureOutage(environment, {
      postgres,
      url: postgres.applicationUrl(),
      begin,
      end: () => postgres.signal('SIGCONT'),
    })
  },
}
