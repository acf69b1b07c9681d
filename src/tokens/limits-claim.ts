import type { EffectiveLimits, LimitName, Limits } from '../tenants/limits.ts'

/** What Envoy reads as a limit of its own: the number a number, the unit in upper case. It ignores anything else. */
interface Allowance {
  readonly requests_per_unit: number
  readonly unit: 'MINUTE' | 'DAY'
}

/** The names of limits in a bucket of the claim. */
export const ALLOWANCES = {
  requests: { limit: 'requests_per_minute', unit: 'MINUTE' },
  requests_daily: { limit: 'requests_per_day', unit: 'DAY' },
  tokens: { limit: 'tokens_per_minute', unit: 'MINUTE' },
  tokens_daily: { limit: 'tokens_per_day', unit: 'DAY' },
} as const satisfies Record<string, { limit: LimitName; unit: Allowance['unit'] }>

type Bucket = { readonly [Name in keyof typeof ALLOWANCES]?: Allowance }

/** The claim `limits`. A bucket or a limit that is not set is absent: 0 would reject every request. */
export interface LimitsClaim {
  readonly tenant?: Bucket
  readonly key?: Bucket
}

/** Undefined: nothing is limited. */
export function limitsClaim({ tenant, key }: EffectiveLimits): LimitsClaim | undefined {
  const [shared, own] = [bucketOf(tenant), bucketOf(key)]
  if (!shared && !own) return undefined
  return { ...(shared && { tenant: shared }), ...(own && { key: own }) }
}

function bucketOf(limits: Limits): Bucket | undefined {
  const set = Object.entries(ALLOWANCES).flatMap(([name, { limit, unit }]) => {
    const most = limits[limit]
    return most === undefined ? [] : [[name, { requests_per_unit: most, unit }]]
  })
  return set.length === 0 ? undefined : Object.fromEntries(set)
}
