import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { retentionSeconds } from '../../src/config/rotation-policy.ts'
import type { SigningAlg } from '../../src/config/signing-alg.ts'
import { Conflict, NotFound } from '../../src/errors.ts'
import { type Policy, publishedAlgs } from '../../src/installation/policy.ts'
import {
  duePlan,
  holdPlan,
  releasePlan,
  reschedulePlan,
  revokePlan,
  rotatePlan,
  type Step,
} from '../../src/signing-keys/rotation.ts'
import type { SigningKey } from '../../src/signing-keys/signing-key.ts'
import { done, NOW, policy } from './stored-keys.ts'

/** A model of the stored keys that is driven through time, with all possible requests in between. */
type Event =
  | { type: 'wait'; seconds: number }
  | { type: 'advance' | 'rotate' }
  | { type: 'hold' | 'release' | 'revoke'; index: number }
  | { type: 'algs'; others: SigningAlg[] }
  | { type: 'times'; interval: number; lead: number }

const index = fc.nat(9)
const event: fc.Arbitrary<Event> = fc.oneof(
  {
    arbitrary: fc.record({
      type: fc.constant('wait' as const),
      seconds: fc.oneof(fc.nat(60), fc.nat(90_000)),
    }),
    weight: 6,
  },
  { arbitrary: fc.constant({ type: 'rotate' as const }), weight: 3 },
  { arbitrary: fc.constant({ type: 'advance' as const }), weight: 8 },
  { arbitrary: fc.record({ type: fc.constantFrom('hold' as const, 'release' as const), index }), weight: 2 },
  { arbitrary: fc.record({ type: fc.constant('revoke' as const), index }), weight: 1 },
  {
    arbitrary: fc.record({ type: fc.constant('algs' as const), others: fc.subarray<SigningAlg>(['RS256']) }),
    weight: 1,
  },
  {
    arbitrary: fc.record({
      type: fc.constant('times' as const),
      interval: fc.constantFrom(43_200, 86_400, 172_800),
      lead: fc.constantFrom(3_600, 7_200),
    }),
    weight: 1,
  },
)

/** The standby is released after its turn has come. */
const RELEASED_LATE: Event[] = [
  { type: 'wait', seconds: 16_000 },
  { type: 'hold', index: 1 },
  { type: 'wait', seconds: 80_000 },
  { type: 'release', index: 1 },
  { type: 'advance' },
]

interface World {
  keys: SigningKey[]
  now: number
  policy: Policy
  happened: Event
  steps: readonly Step[]
}

/** The steps of an event; none when it is rejected. */
function stepsOf({ keys, now, policy }: Omit<World, 'happened' | 'steps'>, happened: Event): readonly Step[] {
  const kid = 'index' in happened ? (keys[happened.index]?.kid ?? 'none') : ''
  try {
    switch (happened.type) {
      case 'rotate':
        return rotatePlan(keys, now, policy, policy.signingAlg).steps
      case 'hold':
        return holdPlan(keys, kid)
      case 'release':
        return releasePlan(keys, kid)
      case 'revoke':
        return revokePlan({ keys, rejected: [], now, policy }, kid, '')
      case 'times':
        return [...duePlan(keys, now, policy), ...reschedulePlan(keys, now, policy)]
      case 'advance':
      case 'algs':
        return duePlan(keys, now, policy)
      case 'wait':
        return []
    }
  } catch (error) {
    if (error instanceof Conflict || error instanceof NotFound) return []
    throw error
  }
}

/**
 * Calls `check` after every event, in the state that a crash or another replica would see: each event is one
 * transaction.
 */
function drive(check: (world: World) => void, reset = () => {}): void {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), events => {
      reset()
      let serial = 0
      let current: Policy = { ...policy, rotationIntervalSeconds: 86_400 }
      let keys: SigningKey[] = []
      let now = NOW
      for (const happened of [{ type: 'advance' } as Event, ...events]) {
        if (happened.type === 'wait') now += happened.seconds * 1000
        if (happened.type === 'algs') current = { ...current, otherSigningAlgs: happened.others }
        if (happened.type === 'times')
          current = {
            ...current,
            rotationIntervalSeconds: happened.interval,
            publishLeadSeconds: happened.lead,
          }
        const steps = stepsOf({ keys, now, policy: current }, happened)
        for (const step of steps) keys = done(keys, step, now, `k${++serial}`)
        check({ keys, now, policy: current, happened, steps })
      }
    }),
    { numRuns: 400, examples: [[RELEASED_LATE]] },
  )
}

/** The key that a replica signs with: as `KeyRing.signer`. */
function signerOf(keys: readonly SigningKey[], alg: SigningAlg, now: number): SigningKey | undefined {
  const started = keys.filter(
    key =>
      key.alg === alg &&
      key.activatesAt !== null &&
      key.activatesAt <= now &&
      (key.state !== 'retiring' || key.forgetsAt !== null),
  )
  return started.sort((one, other) => (other.activatesAt ?? 0) - (one.activatesAt ?? 0))[0]
}

describe('for any sequence of events', () => {
  it('there is one active key of the default algorithm, never two of any, and never two standbys', () => {
    drive(({ keys, policy }) => {
      for (const alg of publishedAlgs(policy)) {
        const count = (state: SigningKey['state']) =>
          keys.filter(stored => stored.alg === alg && stored.state === state).length
        expect(count('active')).toBeLessThanOrEqual(1)
        expect(count('standby')).toBeLessThanOrEqual(1)
        if (alg === policy.signingAlg) expect(count('active')).toBe(1)
      }
    })
  })

  it('at least one key is published and at most ten', () => {
    drive(({ keys }) => {
      expect(keys.length).toBeGreaterThan(0)
      expect(keys.length).toBeLessThanOrEqual(10)
    })
  })

  it('after the due steps nothing is due, and there is a standby wherever there is room for one', () => {
    drive(({ keys, now, policy, happened }) => {
      if (happened.type !== 'advance') return
      expect(duePlan(keys, now, policy)).toEqual([])
      for (const alg of publishedAlgs(policy)) {
        const standby = keys.some(stored => stored.alg === alg && stored.state === 'standby')
        expect(standby || keys.length === 10).toBe(true)
      }
    })
  })

  it('no key signs before it was published for the lead, except the first, and after a revocation', () => {
    const allowed = new Set<string>(['k1'])
    drive(
      ({ keys, now, policy, happened }) => {
        const signer = signerOf(keys, policy.signingAlg, now)
        if (!signer) return
        if (happened.type === 'revoke') allowed.add(signer.kid)
        const { kid, activatesAt, publishedAt } = signer
        if (!allowed.has(kid)) expect((activatesAt ?? 0) - publishedAt).toBeGreaterThanOrEqual(3_600_000)
      },
      () => {
        allowed.clear()
        allowed.add('k1')
      },
    )
  })

  it('no key is removed before everything it may have signed has expired everywhere, unless it is revoked', () => {
    const lastSigned = new Map<string, number>()
    drive(
      ({ keys, now, policy, happened }) => {
        for (const [kid, signed] of lastSigned) {
          if (keys.some(stored => stored.kid === kid)) continue
          lastSigned.delete(kid)
          if (happened.type !== 'revoke')
            expect(now - signed).toBeGreaterThanOrEqual(
              retentionSeconds({ ...policy, publishLeadSeconds: 0 }) * 1000,
            )
        }
        for (const alg of publishedAlgs(policy)) {
          const signer = signerOf(keys, alg, now)
          if (signer) lastSigned.set(signer.kid, now)
        }
      },
      () => lastSigned.clear(),
    )
  })

  it('a held key keeps its state: the signing key continues, a published one stays published', () => {
    const held = new Map<string, SigningKey['state']>()
    drive(
      ({ keys, happened, policy }) => {
        for (const [kid, state] of held) {
          const stored = keys.find(candidate => candidate.kid === kid)
          const dropped =
            happened.type === 'revoke' || !publishedAlgs(policy).includes(stored?.alg ?? 'ES256')
          if (!dropped && stored?.held) expect(stored.state).toBe(state)
          if (!dropped) expect(stored).toBeDefined()
        }
        held.clear()
        for (const stored of keys) if (stored.held) held.set(stored.kid, stored.state)
      },
      () => held.clear(),
    )
  })
})
