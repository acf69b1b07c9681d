import { createHash } from 'node:crypto'
import type { LiteLLMKey } from './litellm-tables.ts'

/** What a row of LiteLLM's table of keys says of its key. */

export const isHashed = ({ token }: Pick<LiteLLMKey, 'token'>): boolean => /^[0-9a-f]{64}$/.test(token)

/** Part of the hash, by which LiteLLM's own pages and tables name a key as well. Never of a key that an old version stored as it is. */
export function clientIdOf({ token }: Pick<LiteLLMKey, 'token'>): string {
  const hash = isHashed({ token }) ? token : createHash('sha256').update(token).digest('hex')
  return `litellm-${hash.slice(0, 16)}`
}

/**
 * Epoch milliseconds. LiteLLM's timestamps have no zone, and are UTC. Postgres has "infinity" and years of five digits, which are no
 * end, and "-infinity" and years before Christ, which are long over.
 */
export function expiryOf({ expires }: LiteLLMKey): number | undefined {
  if (!expires || /^(infinity|\d{5,}-)/.test(expires)) return undefined
  const at = Date.parse(/[zZ]|[+-]\d\d(:?\d\d)?$/.test(expires) ? expires : `${expires}Z`)
  return Number.isNaN(at) ? 0 : at
}

/** Whether the budget of a key is used up. A budget without a duration is never reset. */
export function isSpent({
  max_budget: most,
  spend = 0,
  budget_duration: duration,
}: LiteLLMKey): 'for ever' | 'until its reset' | undefined {
  if (typeof most !== 'number' || (most > 0 && !(Number(spend) >= most))) return undefined
  return most > 0 && duration ? 'until its reset' : 'for ever'
}
