import type { Env } from './env.ts'
import { audience } from './formats.ts'
import {
  LONGEST_PUBLISH_LEAD_SECONDS,
  LONGEST_ROTATION_INTERVAL_SECONDS,
  SHORTEST_ROTATION_INTERVAL_SECONDS,
} from './rotation-policy.ts'
import { SIGNING_ALGS, type SigningAlg } from './signing-alg.ts'

/** Settings of tokens and signing keys, and of how stale the data of this process may be. */
export interface TokenConfig {
  tokenTtlSeconds: number
  audience: string
  signingAlg: SigningAlg
  stalenessSeconds: number
  directoryMaxKeys: number
  failuresPerMinute: number
  adminFailuresPerMinute: number
  rotationIntervalSeconds: number
  publishLeadSeconds: number
  /** No verifier caches the JWKS as istiod does. */
  shortPublishLeadAllowed: boolean
}

/** The variables that determine the content and lifetime of tokens. Faults are recorded in `env`. */
export function readTokens(env: Env): TokenConfig {
  return {
    tokenTtlSeconds: env.integer('MINTMARK_TOKEN_TTL_SECONDS', {
      default: 300,
      min: 60,
      max: 3600,
      description: 'longest lifetime of a token',
    }),
    audience: env.text('MINTMARK_AUDIENCE', {
      default: 'vllm',
      description: 'audience of tenants for which none is set',
      parse: audience,
    }),
    signingAlg: env.choice('MINTMARK_SIGNING_ALG', {
      default: 'ES256',
      choices: SIGNING_ALGS,
      description:
        'default signing algorithm. This and the next two variables are read only at the first start; change the stored values with `mintmark installation update`',
    }),
    rotationIntervalSeconds: env.integer('MINTMARK_ROTATION_INTERVAL_SECONDS', {
      default: 2_592_000,
      min: SHORTEST_ROTATION_INTERVAL_SECONDS,
      max: LONGEST_ROTATION_INTERVAL_SECONDS,
      description: 'time between two rotations of a signing key',
    }),
    publishLeadSeconds: env.integer('MINTMARK_PUBLISH_LEAD_SECONDS', {
      default: 7200,
      min: 1,
      max: LONGEST_PUBLISH_LEAD_SECONDS,
      description:
        'how long a signing key is published before it signs; below 3600 only with `MINTMARK_SHORT_PUBLISH_LEAD`',
    }),
    shortPublishLeadAllowed:
      env.optional('MINTMARK_SHORT_PUBLISH_LEAD', {
        description:
          '`allowed`: permits a shorter lead. Use it only if no verifier caches the JWKS as istiod does',
        parse: text => {
          if (text !== 'allowed') throw new Error(`must be "allowed" or unset, got "${text}"`)
          return true
        },
      }) ?? false,
    stalenessSeconds: env.integer('MINTMARK_STALENESS_SECONDS', {
      default: 900,
      min: 0,
      max: 86_400,
      description:
        'how long a replica that cannot reach Postgres exchanges known API keys; retired signing keys stay published longer by this time',
    }),
    failuresPerMinute: env.integer('MINTMARK_FAILURES_PER_MINUTE', {
      default: 600,
      min: 1,
      max: 1_000_000,
      description:
        'unknown API keys, refused assertions and unknown introspection tokens from one address per minute, in each process; further ones get 429. Exchanges with known API keys are not limited',
    }),
    adminFailuresPerMinute: env.integer('MINTMARK_ADMIN_FAILURES_PER_MINUTE', {
      default: 60,
      min: 1,
      max: 1_000_000,
      description:
        'failed admin authentications from one address per minute; then admin tokens that were not used on this replica before get 429',
    }),
    directoryMaxKeys: env.integer('MINTMARK_DIRECTORY_MAX_KEYS', {
      default: 250_000,
      min: 1,
      max: 5_000_000,
      description:
        'most API keys in memory, about 1 KB each. If there are more, the least recently used API keys need a Postgres query at each exchange',
    }),
  }
}
