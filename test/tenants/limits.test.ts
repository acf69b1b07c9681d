import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { labelFaults } from '../../src/tenants/labels.ts'
import { LIMIT_NAMES, type LimitName, mergedLimits, toLimits } from '../../src/tenants/limits.ts'

const number = fc.integer({ min: 1, max: 4_294_967_295 })
const record = <T>(value: fc.Arbitrary<T>) =>
  fc.record(Object.fromEntries(LIMIT_NAMES.map(name => [name, value])) as Record<LimitName, typeof value>, {
    requiredKeys: [],
  })
const limits = record(number).map(toLimits)
const patch = record(fc.oneof(number, fc.constantFrom(null, undefined)))

it('an object has at most 32 labels', () => {
  const labels = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`l${n}`, 'x']))
  expect(labelFaults(labels(32))).toEqual([])
  expect(labelFaults(labels(33))).toEqual([{ pointer: '/labels', message: 'must be at most 32' }])
})

describe('a change to limits (RFC 7396)', () => {
  it('sets what it names, removes what is null, keeps the rest, and keeps the order', () => {
    fc.assert(
      fc.property(limits, patch, (before, change) => {
        const after = mergedLimits(before, change)
        for (const name of LIMIT_NAMES) {
          const given = change[name]
          expect(after[name]).toBe(given === undefined ? before[name] : (given ?? undefined))
        }
        expect(Object.keys(after)).toEqual(LIMIT_NAMES.filter(name => after[name] !== undefined))
        expect(mergedLimits(after, change)).toEqual(after)
      }),
    )
  })

  it('null removes all', () => {
    expect(mergedLimits({ requests_per_minute: 1, tokens_per_day: 2 }, null)).toEqual({})
  })
})
