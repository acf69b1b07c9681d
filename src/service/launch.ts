import { SYSTEM } from '../audit/audit-event.ts'
import { type Config, readConfig } from '../config/config.ts'
import { developmentSecrets } from '../config/development-secrets.ts'
import { ConfigError, Env } from '../config/env.ts'
import { Database } from '../database/database.ts'
import { migrate } from '../database/migrate.ts'
import { hasInstallation } from '../installation/own-secrets.ts'
import { systemClock } from '../system/clock.ts'
import { createLogger, type Logger } from '../system/logger.ts'
import { systemRandom } from '../system/random.ts'
import { Secret } from '../system/secret.ts'
import { isMember } from './processes/member.ts'
import { RowSealing } from './row-sealing.ts'
import { type Service, startService } from './service.ts'

export interface Launched {
  config: Config
  service: Service
  /** Drains the service, then stops the embedded database. */
  stop(): Promise<void>
}

/** What a start needs of the environment. */
export interface Prepared {
  environment: NodeJS.ProcessEnv
  config: Config
  logger: Logger
}

/** Reads the configuration, and warns of variables that are probably misspelt. @throws {ConfigError} listing every fault. */
export function prepare(environment: NodeJS.ProcessEnv, options: { logger?: Logger } = {}): Prepared {
  const env = new Env(environment)
  const config = readConfig(env)
  const logger = options.logger ?? createLogger(config.logLevel)
  // One of several processes leaves the warning to their parent.
  for (const text of isMember(config) ? [] : env.unknown()) logger.warn(text)
  return { environment, config, logger }
}

/**
 * Starts a service from the environment: reads the configuration and, when it names no database, first starts the
 * embedded one, with generated secrets and the current schema.
 *
 * @throws {ConfigError} listing every fault; also when neither `DATABASE_URL` nor embedded Postgres is available.
 * @throws {Error} when the embedded database or a port cannot be used.
 */
export async function launch(
  environment: NodeJS.ProcessEnv,
  options: { logger?: Logger; onProgress?: (message: string) => void } = {},
): Promise<Launched> {
  return launchPrepared(prepare(environment, options), options)
}

/** The same, with a configuration that was read before. */
export async function launchPrepared(
  { environment, config, logger }: Prepared,
  options: { onProgress?: (message: string) => void } = {},
): Promise<Launched> {
  if (config.databaseUrl) {
    const service = await startService(config, { logger })
    return { config, service, stop: () => service.stop() }
  }
  const { startEmbeddedPostgres } = await loadEmbeddedPostgres()
  const secrets = developmentSecrets(config, systemRandom)
  const { dataDir } = config
  const { onProgress } = options
  const embedded = await startEmbeddedPostgres({
    dataDir,
    logger,
    clock: systemClock,
    random: systemRandom,
    ...(onProgress && { onProgress }),
  })
  try {
    const schema = config.databaseSchema
    const applied = await migrate(embedded.ownerUrl, { schema })
    const complete = {
      ...readConfig(new Env({ ...environment, ...secrets })),
      databaseUrl: new Secret(embedded.applicationUrl),
    }
    if (applied.includes(SEALS)) await sealExisting(complete, embedded.ownerUrl, logger)
    const service = await startService(complete, { logger })
    const stop = async () => {
      try {
        await service.stop()
      } finally {
        await embedded.stop()
      }
    }
    return { config: complete, service, stop }
  } catch (error) {
    await embedded.stop()
    throw error
  }
}

/** The migration that introduces seals. Rows that are older than it are sealed with it; later ones never are. */
const SEALS = '0009_sealed_rows'

async function sealExisting(secrets: Config, url: string, logger: Logger): Promise<void> {
  const database = new Database({ url, maxConnections: 1, logger, schema: secrets.databaseSchema })
  try {
    // Only this process and the owner of its directory write to the embedded database, so no proof is needed.
    const sealing = new RowSealing({ database, secrets, acceptUnproven: true })
    const rows = (await database.run(hasInstallation)) ? await sealing.survey() : []
    if (rows.length > 0) logger.info({ rows: await sealing.seal(SYSTEM, rows) }, 'sealed the existing rows')
  } finally {
    await database.close()
  }
}

/** Loaded on demand, because the container image does not contain it. */
async function loadEmbeddedPostgres() {
  try {
    return await import('../embedded-postgres/embedded-postgres.ts')
  } catch (error) {
    const { code, url } = error as NodeJS.ErrnoException & { url?: string }
    if (code !== 'ERR_MODULE_NOT_FOUND' || !url?.includes('/embedded-postgres/embedded-postgres.'))
      throw error
    throw new ConfigError(['DATABASE_URL is required: this installation has no embedded Postgres'])
  }
}
