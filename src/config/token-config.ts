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
      description: 'the audience of tenants that name none',
      parse: audience,
    }),
    signingAlg: env.choice('MINTMARK_SIGNING_ALG', {
      default: 'ES256',
      choices: SIGNING_ALGS,
      description: 'fixed at the first start, in the installation record, as are the next two',
    }),
    rotationIntervalSeconds: env.integer('MINTMARK_ROTATION_INTERVAL_SECONDS', {
      default: 2_592_000,
      min: SHORTEST_ROTATION_INTERVAL_SECONDS,
      max: LONGEST_ROTATION_INTERVAL_SECONDS,
      description: 'age at which a signing key is replaced',
    }),
    publishLeadSeconds: env.integer('MINTMARK_PUBLISH_LEAD_SECONDS', {
      default: 7200,
      min: 1,
      max: LONGEST_PUBLISH_LEAD_SECONDS,
      description:
        'how long a signing key is published before it is used; under 3600 only with `MINTMARK_SHORT_PUBLISH_LEAD`',
    }),
    shortPublishLeadAllowed:
      env.optional('MINTMARK_SHORT_PUBLISH_LEAD', {
        description: '`allowed`: no verifier caches the JWKS as istiod does',
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
        'how long a replica that cannot see changes goes on honouring what it knows; retired signing keys stay published for it',
    }),
    failuresPerMinute: env.integer('MINTMARK_FAILURES_PER_MINUTE', {
      default: 600,
      min: 1,
      max: 1_000_000,
      description:
        'keys that nobody has, from one address, that are looked up in a minute; beyond it they are 429. Known keys never count',
    }),
    adminFailuresPerMinute: env.integer('MINTMARK_ADMIN_FAILURES_PER_MINUTE', {
      default: 60,
      min: 1,
      max: 1_000_000,
      description:
        'failed admin logins from one address in a minute; beyond it tokens that have not been used here are 429',
    }),
    directoryMaxKeys: env.integer('MINTMARK_DIRECTORY_MAX_KEYS', {
      default: 250_000,
      min: 1,
      max: 5_000_000,
      description:
        'keys that are kept in memory, about half a kilobyte each; those used least recently beyond it need Postgres at each exchange',
    }),
  }
}
