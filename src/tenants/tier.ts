import { versionOf } from '../database/version.ts'
import type { Limits } from './limits.ts'

/** A service level: an InferenceObjective in llm-d. `priority` is on vLLM's scale: a lower value is served sooner. */
export interface Tier {
  name: string
  priority: number
  description: string
  /** Of each tenant of this tier that has none of its own. */
  limits: Limits
  createdAt: Date
  updatedAt: Date
}

/** What PUT replaces. */
export type TierSettings = Pick<Tier, 'name' | 'priority' | 'description' | 'limits'>

export const tierVersion = (tier: Tier): string => versionOf(tier)

/** vLLM parses the header with int(); this range fits every engine's 32-bit field. */
export const PRIORITY_RANGE = { min: -1_000_000_000, max: 1_000_000_000 } as const
