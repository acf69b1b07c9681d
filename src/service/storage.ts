import type { Config } from '../config/config.ts'
import { Database } from '../database/database.ts'
import { DatabaseTime } from '../database/database-time.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'

/** The clock, randomness and log of this process. */
export interface System {
  clock: Clock
  random: Random
  logger: Logger
}

/** Connections reserved for the change feed and lookups, so that administration cannot block them. */
const DIRECTORY_CONNECTIONS = 2
const LISTENER_CONNECTIONS = 1

export interface Storage {
  database: Database
  /** For the change feed and key lookups. */
  directoryDatabase: Database
  /** Database time. */
  time: DatabaseTime
  /** For LISTEN, which does not work through a pooler. */
  directUrl: string
}

/** Connects lazily. */
export function openStorage(config: Config, { clock, logger }: System): Storage {
  if (!config.databaseUrl) throw new Error('the service needs a database: launch.ts starts the embedded one')
  const url = config.databaseUrl.reveal()
  const openPool = (maxConnections: number) =>
    new Database({ url, maxConnections, logger, schema: config.databaseSchema })
  return {
    database: openPool(config.databaseMaxConnections - DIRECTORY_CONNECTIONS - LISTENER_CONNECTIONS),
    directoryDatabase: openPool(DIRECTORY_CONNECTIONS),
    time: new DatabaseTime(clock),
    directUrl: config.databaseUrlDirect?.reveal() ?? url,
  }
}
