import type { NamedKey, Secret } from '../system/secret.ts'
import { readDatabase } from './database-config.ts'
import type { Env } from './env.ts'
import { cidrs, issuerUrl, namedKeys, rootTokens } from './formats.ts'
import { type GatewayConfig, readGateway } from './gateway-config.ts'
import { rotationFaults, SHORTEST_PUBLISH_LEAD_SECONDS } from './rotation-policy.ts'
import { readTokens, type TokenConfig } from './token-config.ts'

interface Address {
  host: string
  port: number
}

/** Everything that a process is told from outside, parsed once. Secrets are inside `Secret`. */
export interface Config extends GatewayConfig, TokenConfig {
  production: boolean
  /** Undefined: embedded Postgres in `dataDir`. */
  databaseUrl: Secret | undefined
  /** No DATABASE_URL was given. */
  embedded: boolean
  /** For LISTEN; undefined: `databaseUrl`. */
  databaseUrlDirect: Secret | undefined
  migrateDatabaseUrl: Secret | undefined
  databaseMaxConnections: number
  dataDir: string
  keysDir: string
  /** Undefined: `http://localhost:<public port>`, known once that port is bound. */
  issuer: string | undefined
  publicAddress: Address
  adminAddress: Address
  opsAddress: Address
  trustedProxies: readonly string[]
  /** How long a process that stops goes on taking connections. */
  drainDelaySeconds: number
  rootTokens: readonly Secret[]
  encryptionKeys: readonly NamedKey[]
  peppers: readonly NamedKey[]
  logLevel: string
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/**
 * config/ turns the environment into one typed value, or into one message that lists every fault in it. Nothing
 * else reads the environment. The README's table is printed from `env.descriptions`.
 *
 * @throws {ConfigError} naming each variable that is wrong, why, and what it must be.
 */
export function readConfig(env: Env): Config {
  const production =
    env.choice('NODE_ENV', {
      default: 'development',
      choices: ['development', 'test', 'production'],
      description:
        '`production` refuses what is only fit for trying out: embedded Postgres, an http issuer, one database role for everything',
    }) === 'production'
  const database = readDatabase(env)
  const listeners = readListeners(env)
  const secrets = readSecrets(env)
  const tokens = readTokens(env)
  const config = {
    production,
    ...database,
    ...listeners,
    ...secrets,
    ...tokens,
    ...readGateway(env, { host: listeners.publicAddress.host, audience: tokens.audience }),
    logLevel: env.choice('LOG_LEVEL', {
      default: 'info',
      choices: LOG_LEVELS,
      description: 'pino JSON on stdout; readable lines on a terminal',
    }),
  }
  checkTogether(env, config)
  env.throwFaults()
  return config
}

/** The owner role's database, for migrations; nothing else of the configuration has to be there. @throws {ConfigError} */
export function readMigrateUrl(env: Env): Secret {
  const { migrateDatabaseUrl } = readDatabase(env)
  if (!migrateDatabaseUrl) {
    env.fault(
      'MIGRATE_DATABASE_URL',
      'is required: the owner role of the database (the embedded one migrates by itself)',
    )
  }
  env.throwFaults()
  return migrateDatabaseUrl as Secret
}

function readListeners(env: Env) {
  const host = env.text('MINTMARK_HOST', {
    default: '127.0.0.1',
    description: 'address of the public listener: tokens, JWKS, discovery',
  })
  const port = (name: string, fallback: number, description: string) =>
    env.integer(name, { default: fallback, min: 0, max: 65535, description })
  const publicPort = port('MINTMARK_PUBLIC_PORT', 8080, '0 takes any free port, here and below')
  const adminHost = env.text('MINTMARK_ADMIN_HOST', {
    default: '127.0.0.1',
    description: 'address of the admin listener, always set by itself',
  })
  const adminPort = port('MINTMARK_ADMIN_PORT', 8081, 'admin REST')
  const opsHost = env.text('MINTMARK_OPS_HOST', {
    default: host,
    fallback: '`MINTMARK_HOST`',
    description: 'address of the ops listener',
  })
  const opsPort = port('MINTMARK_OPS_PORT', 8084, '`/livez`, `/readyz`, `/metrics`')
  return {
    issuer: env.optional('MINTMARK_ISSUER', {
      fallback: '`http://localhost:<public port>`',
      description: 'the `iss` of every token, byte for byte; https in production',
      parse: issuerUrl,
    }),
    publicAddress: { host, port: publicPort },
    adminAddress: { host: adminHost, port: adminPort },
    opsAddress: { host: opsHost, port: opsPort },
    trustedProxies:
      env.optional('MINTMARK_TRUSTED_PROXIES', {
        fallback: 'none',
        description: 'comma-separated CIDRs whose `X-Forwarded-For` is believed',
        parse: cidrs,
      }) ?? [],
    drainDelaySeconds: env.integer('MINTMARK_DRAIN_DELAY_SECONDS', {
      default: 1,
      min: 0,
      max: 7,
      description:
        'how long a process that stops goes on taking connections, so that load balancers see `/readyz` 503 first',
    }),
  }
}

function readSecrets(env: Env) {
  return {
    rootTokens:
      env.optional('MINTMARK_ROOT_TOKEN', {
        fallback: 'embedded: made in the keys directory; else no root access',
        description: 'at least 32 characters; a comma-separated list while changing it',
        parse: rootTokens,
      }) ?? [],
    encryptionKeys:
      env.optional('MINTMARK_ENCRYPTION_KEYS', {
        fallback: 'embedded: made in the keys directory; else required',
        description:
          '`id:base64url(32 bytes)`, comma-separated, encrypts signing keys at rest; the first is used, all are understood',
        parse: namedKeys,
      }) ?? [],
    peppers:
      env.optional('MINTMARK_PEPPERS', {
        fallback: 'embedded: made in the keys directory; else required',
        description:
          'the same form; key of the digests of API keys. Append a new one everywhere, then move it to the front, later drop the old',
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
      'must be at least 3600, because istiod may ask for the JWKS that seldom after a failure; if none of your verifiers caches it like that, set MINTMARK_SHORT_PUBLISH_LEAD=allowed',
    )
  }
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

const HOW_TO_MAKE_A_KEY = `for example "k1:$(openssl rand -base64 32 | tr '+/' '-_' | tr -d =)"`
