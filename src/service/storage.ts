import type { Config } from '../config/config.ts'
import { Database } from '../database/database.ts'
import { DatabaseTime } from '../database/database-time.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'

/**
 * service/ builds the objects of a running Mintmark, one idea a file, each out of those before it; service.ts puts
 * them together.
 */
export interface System {
  clock: Clock
  random: Random
  logger: Logger
}

/** Of the connections of a process: kept for following and looking up, so that administration cannot hold them up. */
const DIRECTORY_CONNECTIONS = 2
const LISTENER_CONNECTIONS = 1

export type Storage = ReturnType<typeof openStorage>

/** The pools of connections, and the time of the database. Nothing is connected before it is needed. */
export function openStorage(config: Config, { clock, logger }: System) {
  if (!config.databaseUrl) throw new Error('the service needs a database: main.ts starts the embedded one')
  const url = config.databaseUrl.reveal()
  const openPool = (maxConnections: number) => new Database({ url, maxConnections, logger })
  return {
    database: openPool(config.databaseMaxConnections - DIRECTORY_CONNECTIONS - LISTENER_CONNECTIONS),
    directoryDatabase: openPool(DIRECTORY_CONNECTIONS),
    time: new DatabaseTime(clock),
    /** For LISTEN, which does not work through a pooler. */
    directUrl: config.databaseUrlDirect?.reveal() ?? url,
  }
}
