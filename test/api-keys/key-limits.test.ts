import { describe, expect, it } from 'vitest'
import { longestLifetime } from '../../src/api-keys/key-limits.ts'
import type { Policy } from '../../src/installation/policy.ts'

const policy = (unendingKeysAllowed: boolean) =>
  ({ maxKeyLifetimeSeconds: 1_000, unendingKeysAllowed }) as Policy

describe('The longest lifetime of a key', () => {
  it.each([
    [null, false, { seconds: 1_000, unending: false, whose: 'policy' }],
    [null, true, { seconds: 1_000, unending: true, whose: 'policy' }],
    [999, false, { seconds: 999, unending: false, whose: 'tenant' }],
    [999, true, { seconds: 999, unending: false, whose: 'tenant' }],
    [1_001, false, { seconds: 1_000, unending: false, whose: 'policy' }],
    // A tenant that limits its keys has no unending ones, also where its limit is above the policy's.
    [1_001, true, { seconds: 1_000, unending: false, whose: 'tenant' }],
  ] as const)('of a tenant with the limit %s, unending keys allowed: %s', (own, unending, longest) => {
    expect(longestLifetime(policy(unending), { maxKeyLifetimeSeconds: own })).toEqual(longest)
  })
})
