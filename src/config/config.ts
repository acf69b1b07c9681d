import type { PasswordCommand } from '../system/password-command.ts'
import type { NamedKey, Secret } from '../system/secret.ts'
import { type ClusterConfig, readCluster } from './cluster-config.ts'
import { readDatabase } from './database-config.ts'
import type { Env } from './env.ts'
import { namedKeys, rootTokens } from './formats.ts'
import { type GatewayConfig, readGateway } from './gateway-config.ts'
import { type ListenerConfig, readListeners } from './listener-config.ts'
import { rotationFaults, SHORTEST_PUBLISH_LEAD_SECONDS } from './rotation-policy.ts'
import { readTokens, type TokenConfig } from './token-config.ts'
import { readTraces, type TraceConfig } from './trace-config.ts'
import { readUsage, type UsageConfig } from './usage-config.ts'
import { readXds, type XdsSettings } from './xds-config.ts'

/** The configuration of a process, parsed once. Secrets are inside `Secret`. */
export interface Config
  extends ClusterConfig,
    GatewayConfig,
    ListenerConfig,
    TokenConfig,
    TraceConfig,
    UsageConfig,
    XdsSettings {
  production: boolean
  /** Undefined: embedded Postgres in `dataDir`. */
  databaseUrl: Secret | undefined
  /** No DATABASE_URL was given. */
  embedded: boolean
  /** For LISTEN; undefined: `databaseUrl`. */
  databaseUrlDirect: Secret | undefined
  migrateDatabaseUrl: Secret | undefined
  /** For those of the URLs that have no password; undefined: these connect without one. */
  databasePassword: PasswordCommand | undefined
  databaseMaxConnections: number
  /** Of the tables. */
  databaseSchema: string
  /** Undefined: no snapshots. */
  snapshotDir: string | undefined
  dataDir: string
  keysDir: string
  rootTokens: readonly Secret[]
  encryptionKeys: readonly NamedKey[]
  peppers: readonly NamedKey[]
  logLevel: string
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/**
 * config/ turns the environment into one typed value, or into one message that lists every fault in it. No other room
 * reads the environment. The table in docs/configuration.md is generated from `env.descriptions`.
 *
 * @throws {ConfigError} naming each invalid variable, why it is invalid, and its format.
 */
export function readConfig(env: Env): Config {
  const production =
    env.choice('NODE_ENV', {
      default: 'development',
      choices: ['development', 'test', 'production'],
      description:
        '`production` rejects settings for development: embedded Postgres, an http issuer, the owner role as application role',
    }) === 'production'
  const database = readDatabase(env)
  const listeners = readListeners(env)
  const secrets = readSecrets(env)
  const tokens = readTokens(env)
  const gateway = readGateway(env, { host: listeners.publicAddress.host, audience: tokens.audience })
  const config = {
    production,
    ...database,
    ...listeners,
    ...secrets,
    ...tokens,
    ...gateway,
    ...readUsage(env),
    ...readXds(env, gateway.gatewayAddress.host),
    ...readTraces(env),
    ...readCluster(env),
    logLevel: env.choice('LOG_LEVEL', {
      default: 'info',
      choices: LOG_LEVELS,
      description: 'log level; JSON lines on stdout, readable lines on a terminal',
    }),
  }
  checkTogether(env, config)
  env.throwFaults({ all: true })
  return config
}

/** The owner role's database, for migrations; the rest of the configuration may be missing. @throws {ConfigError} */
export function readMigrateDatabase(env: Env) {
  const { migrateDatabaseUrl, databaseSchema, databasePassword } = readDatabase(env)
  if (!migrateDatabaseUrl) {
    env.fault(
      'MIGRATE_DATABASE_URL',
      'is required: a URL with the owner role of the database (embedded Postgres migrates automatically)',
    )
  }
  env.throwFaults()
  const url = (migrateDatabaseUrl as Secret).reveal()
  return { url, schema: databaseSchema, password: databasePassword }
}

function readSecrets(env: Env) {
  return {
    rootTokens:
      env.optional('MINTMARK_ROOT_TOKEN', {
        fallback: 'embedded: generated in the keys directory; else no root access',
        description:
          'root token of the admin API, at least 32 characters; a comma-separated list during a change',
        parse: rootTokens,
      }) ?? [],
    encryptionKeys:
      env.optional('MINTMARK_ENCRYPTION_KEYS', {
        fallback: 'embedded: generated in the keys directory; else required',
        description:
          'comma-separated `id:base64url(32 bytes)`: keys that encrypt the stored private signing keys and the fetch tokens of identity providers, and seal rows that grant trust; the first one encrypts, all of them decrypt',
        parse: namedKeys,
      }) ?? [],
    peppers:
      env.optional('MINTMARK_PEPPERS', {
        fallback: 'embedded: generated in the keys directory; else required',
        description:
          'same format: HMAC keys under which API keys are stored. To replace one: append the new pepper on all replicas, then move it to the front on all replicas, later remove the old pepper',
        parse: namedKeys,
      }) ?? [],
  }
}

function checkTogether(env: Env, config: Config): void {
  const { tokenTtlSeconds: longestTokenTtlSeconds, stalenessSeconds: longestStalenessSeconds } = config
  for (const { pointer, message } of rotationFaults(
    { ...config, longestTokenTtlSeconds, longestStalenessSeconds },
    1,
  )) {
    env.fault(`MINTMARK_${pointer.slice(1).toUpperCase()}`, message)
  }
  if (config.publishLeadSeconds < SHORTEST_PUBLISH_LEAD_SECONDS && !config.shortPublishLeadAllowed) {
    env.fault(
      'MINTMARK_PUBLISH_LEAD_SECONDS',
      'must be at least 3600, because istiod fetches the JWKS only that often after a failure; if none of your verifiers does, set MINTMARK_SHORT_PUBLISH_LEAD=allowed',
    )
  }
  checkProcesses(env, config)
  if ((config.otlpHttpAddress || config.otlpGrpcAddress) && config.databaseMaxConnections < 6)
    env.fault(
      'MINTMARK_DATABASE_MAX_CONNECTIONS',
      'must be at least 6 with MINTMARK_OTLP_HTTP_PORT or MINTMARK_OTLP_GRPC_PORT',
    )
  if (config.databaseUrl) {
    if (config.peppers.length === 0)
      env.fault('MINTMARK_PEPPERS', `is required with DATABASE_URL: ${HOW_TO_MAKE_A_KEY}`)
    if (config.encryptionKeys.length === 0) {
      env.fault('MINTMARK_ENCRYPTION_KEYS', `is required with DATABASE_URL: ${HOW_TO_MAKE_A_KEY}`)
    }
  } else if (config.production) {
    env.fault('DATABASE_URL', 'is required in production: embedded Postgres is for development')
  }
  if (config.production && !config.issuer?.startsWith('https://')) {
    env.fault('MINTMARK_ISSUER', 'is required in production and must begin with https://')
  }
}

function checkProcesses(env: Env, { processes, databaseUrl, issuer, publicAddress }: Config): void {
  if (processes === 1) return
  if (!databaseUrl) {
    env.fault('MINTMARK_PROCESSES', 'must be 1 without DATABASE_URL: embedded Postgres serves one process')
  }
  if (issuer === undefined && publicAddress.port === 0) {
    env.fault('MINTMARK_PUBLIC_PORT', 'must not be 0 with several processes, unless MINTMARK_ISSUER is set')
  }
}

const HOW_TO_MAKE_A_KEY = `for example "k1:$(openssl rand -base64 32 | tr '+/' '-_' | tr -d =)"`
