import type { Config } from '../config/config.ts'
import type { DatabaseAddress } from '../database/current-client.ts'
import { Database, type DatabaseTimeouts } from '../database/database.ts'
import { DatabaseTime } from '../database/database-time.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import type { Tracing } from '../system/tracing.ts'

/** The clock, randomness, log and traces of this process. */
export interface System {
  clock: Clock
  random: Random
  logger: Logger
  /** Undefined: none. */
  tracing?: Tracing | undefined
  /** Undefined: those of production. */
  databaseTimeouts?: DatabaseTimeouts | undefined
}

/** Connections reserved for the change feed and lookups, so that administration cannot block them. */
const DIRECTORY_CONNECTIONS = 2
const LISTENER_CONNECTIONS = 1
/** Connections reserved for counting usage, so that reports cannot block anything else. */
const USAGE_CONNECTIONS = 2

export interface Storage {
  database: Database
  /** For the change feed and key lookups. */
  directoryDatabase: Database
  /** For usage reports; undefined where none are received. */
  usageDatabase: Database | undefined
  /** Database time. */
  time: DatabaseTime
  /** For LISTEN, which does not work through a pooler. */
  direct: DatabaseAddress
}

/** Connects lazily. */
export function openStorage(config: Config, system: System): Storage {
  if (!config.databaseUrl) throw new Error('the service needs a database: launch.ts starts the embedded one')
  const { clock, logger, tracing, databaseTimeouts: timeouts } = system
  const { databaseUrl, databaseUrlDirect = databaseUrl, databasePassword: password } = config
  const url = () => databaseUrl.reveal()
  const openPool = (maxConnections: number) =>
    new Database({ url, password, maxConnections, logger, schema: config.databaseSchema, tracing, timeouts })
  const forUsage = config.otlpHttpAddress || config.otlpGrpcAddress ? USAGE_CONNECTIONS : 0
  return {
    database: openPool(
      config.databaseMaxConnections - DIRECTORY_CONNECTIONS - LISTENER_CONNECTIONS - forUsage,
    ),
    directoryDatabase: openPool(DIRECTORY_CONNECTIONS),
    usageDatabase: forUsage > 0 ? openPool(forUsage) : undefined,
    time: new DatabaseTime(clock),
    direct: { url: () => databaseUrlDirect.reveal(), password },
  }
}
