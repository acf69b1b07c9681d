import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SigningAlg } from '../../src/config/config.ts'
import type { Policy } from '../../src/database/installation.ts'
import { duePlan, earliestActivation, retentionSeconds, type Step } from '../../src/signing-keys/rotation.ts'
import type { SigningKey } from '../../src/signing-keys/signing-key.ts'

const NOW = 1_800_000_000_000
const policy: Policy = {
  signingAlg: 'ES256',
  rotationIntervalSeconds: 2_592_000,
  publishLeadSeconds: 7_200,
  maxKeyLifetimeSeconds: 31_536_000,
  unendingKeysAllowed: false,
  longestTokenTtlSeconds: 300,
  longestStalenessSeconds: 900,
}
const RETENTION_MS = (300 + 900 + 60 + 7_200) * 1000

const key = (kid: string, state: SigningKey['state'], more: Partial<SigningKey> = {}): SigningKey => ({
  kid,
  alg: 'ES256',
  state,
  publicJwk: {},
  publishedAt: NOW - 9e9,
  activatesAt: state === 'standby' ? null : NOW - 8e9,
  retiresAt: state === 'retiring' ? NOW + 1e6 : null,
  held: false,
  ...more,
})
const create = (alg: SigningAlg, state: 'active' | 'standby'): Step => ({ type: 'create', alg, state })

describe('what is due', () => {
  it.each<[string, SigningKey[], Partial<Policy>, Step[]]>([
    [
      'an empty installation gets a key to sign with at once, and a standby',
      [],
      {},
      [create('ES256', 'active'), create('ES256', 'standby')],
    ],
    ['an active key without a standby gets one', [key('a', 'active')], {}, [create('ES256', 'standby')]],
    [
      'an active key and a standby without a date: nothing',
      [key('a', 'active'), key('s', 'standby')],
      {},
      [],
    ],
    [
      'a standby whose time is to come: nothing',
      [key('a', 'active'), key('s', 'standby', { activatesAt: NOW + 1 })],
      {},
      [],
    ],
    [
      'a standby whose time has come takes over, and a new one is made',
      [key('a', 'active'), key('s', 'standby', { activatesAt: NOW })],
      {},
      [
        { type: 'retire', kid: 'a', retiresAt: NOW + RETENTION_MS },
        { type: 'activate', kid: 's' },
        create('ES256', 'standby'),
      ],
    ],
    ['a standby alone, without a date, is not used before its time', [key('s', 'standby')], {}, []],
    [
      'a standby alone whose time has come is activated',
      [key('s', 'standby', { activatesAt: NOW - 1 })],
      {},
      [{ type: 'activate', kid: 's' }, create('ES256', 'standby')],
    ],
    [
      'a retiring key stays until its time',
      [key('a', 'active'), key('s', 'standby'), key('r', 'retiring', { retiresAt: NOW + 1 })],
      {},
      [],
    ],
    [
      'a retiring key goes when its time has come',
      [key('a', 'active'), key('s', 'standby'), key('r', 'retiring', { retiresAt: NOW })],
      {},
      [{ type: 'remove', kid: 'r' }],
    ],
    [
      'another algorithm in the policy gets a standby: nothing signs with a key that nobody has seen',
      [key('a', 'active'), key('s', 'standby')],
      { signingAlg: 'RS256' },
      [create('RS256', 'standby')],
    ],
    [
      'only keys that retire are left: a key to sign with at once',
      [key('r', 'retiring')],
      {},
      [create('ES256', 'active'), create('ES256', 'standby')],
    ],
  ])('%s', (_, keys, change, steps) => {
    expect(duePlan(keys, NOW, { ...policy, ...change })).toEqual(steps)
  })
})

describe('a key that no longer signs', () => {
  it('stays published for the longest token, the staleness window, clock skew and the publish lead together', () => {
    expect(retentionSeconds(policy)).toBe(300 + 900 + 60 + 7_200)
  })
})

describe('the earliest activation', () => {
  it.each([
    ['a standby that is published for long enough: now', NOW - 7_200_001, NOW],
    ['just long enough: now', NOW - 7_200_000, NOW],
    ['published now: after the lead', NOW, NOW + 7_200_000],
    ['published half the lead ago: after the other half', NOW - 3_600_000, NOW + 3_600_000],
  ])('%s', (_, publishedAt, expected) => {
    expect(earliestActivation(key('s', 'standby', { publishedAt }), NOW, policy)).toBe(expected)
  })
})

/** A world of stored keys that is driven through time by the plan, with crashes between any two steps' transactions. */
type Event =
  | { type: 'wait'; seconds: number }
  | { type: 'rotate' }
  | { type: 'advance' }
  | { type: 'alg'; alg: SigningAlg }

const event: fc.Arbitrary<Event> = fc.oneof(
  {
    arbitrary: fc.record({
      type: fc.constant('wait' as const),
      seconds: fc.oneof(fc.nat(60), fc.nat(20_000)),
    }),
    weight: 4,
  },
  { arbitrary: fc.constant({ type: 'rotate' as const }), weight: 3 },
  { arbitrary: fc.constant({ type: 'advance' as const }), weight: 4 },
  {
    arbitrary: fc.record({
      type: fc.constant('alg' as const),
      alg: fc.constantFrom<SigningAlg>('ES256', 'RS256'),
    }),
    weight: 1,
  },
)

function apply(keys: SigningKey[], step: Step, now: number, serial: number): SigningKey[] {
  const change = (kid: string, more: Partial<SigningKey>) =>
    keys.map(stored => (stored.kid === kid ? { ...stored, ...more } : stored))
  switch (step.type) {
    case 'create':
      return [
        ...keys,
        key(`k${serial}`, step.state, {
          alg: step.alg,
          publishedAt: now,
          activatesAt: step.state === 'active' ? now : null,
        }),
      ]
    case 'activate':
      return change(step.kid, { state: 'active' })
    case 'retire':
      return change(step.kid, { state: 'retiring', retiresAt: step.retiresAt })
    case 'remove':
      return keys.filter(stored => stored.kid !== step.kid)
  }
}

describe('whatever happens, in whatever order', () => {
  it('there is never more than one active and one standby key of an algorithm, and never none once there was one', () => {
    drive(keys => {
      for (const alg of new Set(keys.map(stored => stored.alg))) {
        const count = (state: SigningKey['state']) =>
          keys.filter(stored => stored.alg === alg && stored.state === state).length
        expect(count('active')).toBeLessThanOrEqual(1)
        expect(count('standby')).toBeLessThanOrEqual(1)
        expect(count('active') + count('standby')).toBeGreaterThan(0)
      }
    })
  })

  it('no key signs before it was published for the lead, but for the first of its algorithm', () => {
    const first = new Map<SigningAlg, string>()
    drive(
      keys => {
        for (const { alg, state, kid, publishedAt, activatesAt } of keys) {
          if (state !== 'active') continue
          if (!first.has(alg)) first.set(alg, kid)
          if (first.get(alg) !== kid)
            expect((activatesAt ?? 0) - publishedAt).toBeGreaterThanOrEqual(policy.publishLeadSeconds * 1000)
        }
      },
      () => first.clear(),
    )
  })

  it('no key leaves before everything that it may have signed has ended everywhere', () => {
    const lastSigned = new Map<string, number>()
    drive(
      (keys, now) => {
        const gone = [...lastSigned].filter(([kid]) => !keys.some(stored => stored.kid === kid))
        for (const [kid, signed] of gone) {
          expect(now - signed).toBeGreaterThanOrEqual(
            (policy.longestTokenTtlSeconds + policy.longestStalenessSeconds + 60) * 1000,
          )
          lastSigned.delete(kid)
        }
        for (const { kid, state } of keys) if (state === 'active') lastSigned.set(kid, now)
      },
      () => lastSigned.clear(),
    )
  })

  it('the plan is done when it was done: with nothing new there are no steps', () => {
    drive((keys, now, current, settled) => {
      if (settled) expect(duePlan(keys, now, current)).toEqual([])
    })
  })

  /** Calls `check` after every step, as a crash or another replica would see it: each advance is one transaction. */
  function drive(
    check: (keys: SigningKey[], now: number, policy: Policy, settled: boolean) => void,
    reset = () => {},
  ): void {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), events => {
        reset()
        let [keys, now, current, serial]: [SigningKey[], number, Policy, number] = [[], NOW, policy, 0]
        for (const happened of [{ type: 'advance' } as Event, ...events]) {
          if (happened.type === 'wait') now += happened.seconds * 1000
          if (happened.type === 'alg') current = { ...current, signingAlg: happened.alg }
          if (happened.type === 'rotate') {
            keys = keys.map(stored =>
              stored.state === 'standby' && stored.alg === current.signingAlg && stored.activatesAt === null
                ? { ...stored, activatesAt: earliestActivation(stored, now, current) }
                : stored,
            )
          }
          if (happened.type === 'advance')
            for (const step of duePlan(keys, now, current)) keys = apply(keys, step, now, ++serial)
          check(keys, now, current, happened.type === 'advance')
        }
      }),
      { numRuns: 300 },
    )
  }
})
