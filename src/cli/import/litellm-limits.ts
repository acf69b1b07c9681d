import { LIMIT_RANGE, type LimitName, type Limits } from '../../tenants/limits.ts'
import type { LiteLLMLimits } from './litellm-tables.ts'

const NAMES: readonly (readonly [keyof LiteLLMLimits, LimitName])[] = [
  ['rpm_limit', 'requests_per_minute'],
  ['tpm_limit', 'tokens_per_minute'],
  ['tpd_limit', 'tokens_per_day'],
]

/** The limits of a team or key; `closed`: one of them is 0, which lets nothing pass; `beyond`: one is above what can be set. */
export function mapLimits(
  own: LiteLLMLimits,
  budget: LiteLLMLimits | undefined,
): { limits: Limits; closed: boolean; beyond: boolean } {
  const given = NAMES.flatMap(([column, name]) => {
    const limit = own[column] ?? budget?.[column]
    return limit == null ? [] : [[name, Math.floor(Number(limit))] as const]
  })
  const open = given.filter(([, limit]) => limit >= LIMIT_RANGE.min && limit <= LIMIT_RANGE.max)
  return {
    limits: Object.fromEntries(open),
    closed: given.some(([, limit]) => limit < LIMIT_RANGE.min),
    beyond: given.some(([, limit]) => limit > LIMIT_RANGE.max),
  }
}
