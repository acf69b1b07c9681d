/**
 * Limits of requests and of LLM tokens: of a tier, a tenant or a key. They travel in the token (tokens/limits-claim.ts), for
 * the rate limits of gateways: nothing is counted here. The names are those of the API and of the stored JSON.
 */
export const LIMITS = {
  requests_per_minute: 'requests in a minute',
  requests_per_day: 'requests in a day (UTC)',
  tokens_per_minute: 'LLM tokens of prompts and completions in a minute',
  tokens_per_day: 'LLM tokens of prompts and completions in a day (UTC)',
} as const
export type LimitName = keyof typeof LIMITS
export const LIMIT_NAMES = Object.keys(LIMITS) as LimitName[]

/** The limits that are set, in the order of LIMITS. */
export type Limits = { readonly [Name in LimitName]?: number }

/** A change to limits; null removes one, or all. */
export type LimitsPatch = { readonly [Name in LimitName]?: number | null | undefined } | null

/** What Envoy's rate-limit service can count. 0 would reject every request, so it is not a limit. */
export const LIMIT_RANGE = { min: 1, max: 4_294_967_295 } as const

/** The set limits of an object, in their order: Postgres has another. */
export const toLimits = (given: Exclude<LimitsPatch, null>): Limits =>
  Object.fromEntries(LIMIT_NAMES.flatMap(name => (given[name] == null ? [] : [[name, given[name]]])))

/** RFC 7396 for limits: named ones are set, null removes one, the others are kept. */
export function mergedLimits(limits: Limits, patch: LimitsPatch): Limits {
  if (patch === null) return {}
  const given = Object.entries(patch).filter(([, value]) => value !== undefined)
  return toLimits({ ...limits, ...Object.fromEntries(given) })
}

/** All four, null for what is not set. */
export const allLimits = (limits: Limits): Record<LimitName, number | null> =>
  Object.fromEntries(LIMIT_NAMES.map(name => [name, limits[name] ?? null])) as Record<
    LimitName,
    number | null
  >

/** Two buckets: one for all keys of the tenant, and the key's own inside it. */
export interface EffectiveLimits {
  readonly tenant: Limits
  readonly key: Limits
}

/**
 * The limits that apply now. The tenant's bucket has the tenant's numbers, otherwise those of the tenant's tier: never of
 * a key's tier, because all keys share the bucket. A key's own number is at most the tenant's.
 */
export function effectiveLimits(tier: Limits, tenant: Limits, key: Limits): EffectiveLimits {
  const shared = toLimits({ ...tier, ...tenant })
  const own = LIMIT_NAMES.flatMap(name => {
    const [limit, most] = [key[name], shared[name]]
    return limit === undefined ? [] : [[name, most === undefined ? limit : Math.min(limit, most)]]
  })
  return { tenant: shared, key: Object.fromEntries(own) }
}
