import type { Experiment } from './environment/environment.ts'
import { measureOutage } from './environment/outage.ts'

/** kill -9 of Postgres and all its children; then a start with recovery. */
export const experiment: Experiment = {
  id: 'F1',
  title: 'kill -9 of Postgres',
  run: async environment => {
    const postgres = await environment.postgres()
    await measureOutage(environment, {
      postgres,
      url: postgres.applicationUrl(),
      begin: () => postgres.kill(),
      end: () => postgres.start(),
    })
  },
}
