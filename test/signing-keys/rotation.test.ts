import { describe, expect, it } from 'vitest'
import type { SigningAlg } from '../../src/config/signing-alg.ts'
import type { Policy } from '../../src/installation/policy.ts'
import {
  duePlan,
  earliestActivation,
  holdPlan,
  releasePlan,
  reschedulePlan,
  revokePlan,
  rotatePlan,
  type Step,
} from '../../src/signing-keys/rotation.ts'
import type { SigningKey } from '../../src/signing-keys/signing-key.ts'
import { INTERVAL_MS, key, LEAD_MS, NOW, policy } from './stored-keys.ts'

const RETENTION_MS = (300 + 900 + 60 + 7_200) * 1000
const PRIVATE_MS = (900 + 60) * 1000

const active = (alg: SigningAlg, activatesAt = NOW): Step => ({
  type: 'create',
  alg,
  state: 'active',
  activatesAt,
})
const standby = (alg: SigningAlg, activatesAt: number | null): Step => ({
  type: 'create',
  alg,
  state: 'standby',
  activatesAt,
})
const retire = (kid: string): Step => ({
  type: 'retire',
  kid,
  retiresAt: NOW + RETENTION_MS,
  forgetsAt: NOW + PRIVATE_MS,
})
const a = key('a', 'active')
const s = key('s', 'standby')
const turnOf = (signer: SigningKey) => (signer.activatesAt ?? 0) + INTERVAL_MS

describe('what is due', () => {
  it.each<[string, SigningKey[], Partial<Policy>, Step[]]>([
    [
      'an empty installation gets a key to sign with at once, and a standby with its turn',
      [],
      {},
      [active('ES256'), standby('ES256', NOW + INTERVAL_MS)],
    ],
    ['an active key without a standby gets one', [a], {}, [standby('ES256', turnOf(a))]],
    ['an active key and a standby whose turn is fixed: nothing', [a, s], {}, []],
    [
      'a standby whose turn is not fixed gets it: an interval after the active one began',
      [a, key('s', 'standby', { activatesAt: null })],
      {},
      [{ type: 'schedule', kid: 's', activatesAt: turnOf(a) }],
    ],
    [
      'a standby that was published late has its turn after the lead, not before',
      [
        key('a', 'active', { activatesAt: NOW - INTERVAL_MS }),
        key('s', 'standby', { activatesAt: null, publishedAt: NOW }),
      ],
      {},
      [{ type: 'schedule', kid: 's', activatesAt: NOW + LEAD_MS }],
    ],
    [
      'a standby whose turn has come takes over, and the next one is published with its turn',
      [a, key('s', 'standby', { activatesAt: NOW - 5 })],
      {},
      [
        retire('a'),
        { type: 'activate', kid: 's', activatesAt: NOW - 5 },
        standby('ES256', NOW - 5 + INTERVAL_MS),
      ],
    ],
    [
      'a standby alone whose turn has come is activated',
      [key('s', 'standby', { activatesAt: NOW })],
      {},
      [{ type: 'activate', kid: 's', activatesAt: NOW }, standby('ES256', NOW + INTERVAL_MS)],
    ],
    [
      'nothing is fixed while the key that signs is held',
      [key('a', 'active', { held: true }), key('s', 'standby', { activatesAt: null })],
      {},
      [],
    ],
    ['nor while the standby is held', [a, key('s', 'standby', { activatesAt: null, held: true })], {}, []],
    ['a retiring key stays until its time', [a, s, key('r', 'retiring')], {}, []],
    [
      'its private key goes first, when no replica that is cut off can need it any more',
      [a, s, key('r', 'retiring', { forgetsAt: NOW })],
      {},
      [{ type: 'forget', kid: 'r' }],
    ],
    [
      'and then the key',
      [a, s, key('r', 'retiring', { retiresAt: NOW, forgetsAt: NOW - 9 })],
      {},
      [{ type: 'remove', kid: 'r' }],
    ],
    [
      'a retiring key that is held stays, and still loses its private key',
      [a, s, key('r', 'retiring', { retiresAt: NOW, forgetsAt: NOW, held: true })],
      {},
      [{ type: 'forget', kid: 'r' }],
    ],
    [
      'a second algorithm gets a standby, whose turn is after the lead: nothing signs with an unknown key seen',
      [a, s],
      { otherSigningAlgs: ['RS256'] },
      [standby('RS256', NOW + LEAD_MS)],
    ],
    [
      'an algorithm that is dropped retires with both of its keys',
      [a, s, key('ra', 'active', { alg: 'RS256' }), key('rs', 'standby', { alg: 'RS256' })],
      {},
      [retire('ra'), retire('rs')],
    ],
    [
      'only keys that retire are left: a key to sign with at once',
      [key('r', 'retiring')],
      {},
      [active('ES256'), standby('ES256', NOW + INTERVAL_MS)],
    ],
    [
      'with ten keys published the next standby waits',
      [a, ...Array.from({ length: 9 }, (_, index) => key(`r${index}`, 'retiring'))],
      {},
      [],
    ],
  ])('%s', (_, keys, change, steps) => {
    expect(duePlan(keys, NOW, { ...policy, ...change })).toEqual(steps)
  })
})

it('the successor of an active key that was revoked does not wait until verifiers know it', () => {
  const unknown = key('s', 'standby', { publishedAt: NOW, activatesAt: NOW + INTERVAL_MS })
  expect(duePlan([unknown], NOW, policy)).toEqual([
    { type: 'schedule', kid: 's', activatesAt: NOW + LEAD_MS },
  ])
  expect(duePlan([unknown], NOW, policy, { activeIsRevoked: true })).toEqual([
    { type: 'activate', kid: 's', activatesAt: NOW },
    standby('ES256', NOW + INTERVAL_MS),
  ])
  expect(duePlan([a, unknown], NOW, policy, { activeIsRevoked: true })).toEqual([])
})

describe('the earliest activation', () => {
  it.each([
    ['a standby that is published for long enough: now', NOW - LEAD_MS - 1, NOW],
    ['just long enough: now', NOW - LEAD_MS, NOW],
    ['published now: after the lead', NOW, NOW + LEAD_MS],
    ['published half the lead ago: after the other half', NOW - LEAD_MS / 2, NOW + LEAD_MS / 2],
  ])('%s', (_, publishedAt, expected) => {
    expect(earliestActivation(key('s', 'standby', { publishedAt }), NOW, policy)).toBe(expected)
  })
})

describe('a requested rotation', () => {
  const rotate = (keys: SigningKey[]) => rotatePlan(keys, NOW, policy, 'ES256')

  it.each<[string, SigningKey[], number, Step[]]>([
    ['brings the turn forward to now', [a, s], NOW, [{ type: 'schedule', kid: 's', activatesAt: NOW }]],
    [
      'but never before the lead',
      [a, key('s', 'standby', { publishedAt: NOW - 1000 })],
      NOW - 1000 + LEAD_MS,
      [{ type: 'schedule', kid: 's', activatesAt: NOW - 1000 + LEAD_MS }],
    ],
    [
      'also of a key that has just begun to sign and replaced none: that was no rotation',
      [key('a', 'active', { activatesAt: NOW - 1000 }), s],
      NOW,
      [{ type: 'schedule', kid: 's', activatesAt: NOW }],
    ],
    ['leaves an earlier turn alone', [a, key('s', 'standby', { activatesAt: NOW - 1 })], NOW - 1, []],
    [
      'and changes nothing when it is repeated before the lead is over, also with a full JWKS',
      [
        key('s', 'standby', { publishedAt: NOW - 1000, activatesAt: NOW - 1000 + LEAD_MS }),
        ...Array.from({ length: 9 }, (_, index) => key(`r${index}`, 'retiring')),
      ],
      NOW - 1000 + LEAD_MS,
      [],
    ],
  ])('%s', (_, keys, activatesAt, steps) => {
    expect(rotate(keys)).toEqual({ kid: 's', activatesAt, steps })
  })

  it('that has just happened is returned to a retry', () => {
    const signer = key('a', 'active', { activatesAt: NOW - 1000 })
    expect(rotate([signer, s, key('r', 'retiring')])).toEqual({
      kid: 'a',
      activatesAt: NOW - 1000,
      steps: [],
    })
  })

  it.each<[string, SigningKey[], string, RegExp]>([
    [
      'while the active key is held',
      [key('a', 'active', { held: true }), s],
      'signing_key_held',
      /key a is held/,
    ],
    [
      'while the standby is held',
      [a, key('s', 'standby', { held: true })],
      'signing_key_held',
      /key s is held/,
    ],
    ['without a standby', [a], 'no_standby', /No standby/],
    [
      'when the JWKS is full until after it',
      [a, s, ...Array.from({ length: 8 }, (_, index) => key(`r${index}`, 'retiring'))],
      'too_many_signing_keys',
      new RegExp(`removed at ${new Date(NOW + 1e6).toISOString()}`),
    ],
  ])('is rejected %s', (_, keys, code, message) => {
    expect(() => rotate(keys)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    )
  })
})

describe('hold and release', () => {
  it.each<[string, SigningKey[], string, Step[]]>([
    [
      'a held active key: the standby loses its turn',
      [a, s],
      'a',
      [
        { type: 'hold', kid: 'a' },
        { type: 'schedule', kid: 's', activatesAt: null },
      ],
    ],
    [
      'a held standby loses its turn',
      [a, s],
      's',
      [
        { type: 'hold', kid: 's' },
        { type: 'schedule', kid: 's', activatesAt: null },
      ],
    ],
    ['a held retiring key only stays', [a, s, key('r', 'retiring')], 'r', [{ type: 'hold', kid: 'r' }]],
    [
      'a key that is held already: nothing',
      [key('a', 'active', { held: true }), key('s', 'standby', { activatesAt: null })],
      'a',
      [],
    ],
  ])('%s', (_, keys, kid, steps) => {
    expect(holdPlan(keys, kid)).toEqual(steps)
  })

  it('a released key is replaced on schedule, or at once when that has passed', () => {
    const held = key('a', 'active', { held: true, activatesAt: NOW - 2 * INTERVAL_MS })
    const waiting = key('s', 'standby', { activatesAt: null })
    expect(releasePlan([held, waiting], 'a')).toEqual([{ type: 'release', kid: 'a' }])
    expect(duePlan([{ ...held, held: false }, waiting], NOW, policy)).toEqual([
      retire('a'),
      { type: 'activate', kid: 's', activatesAt: NOW },
      standby('ES256', NOW + INTERVAL_MS),
    ])
  })

  it.each(['hold', 'release'] as const)('%s of a key that is not published is not found', what => {
    const plan = what === 'hold' ? holdPlan : releasePlan
    expect(() => plan([a, s], 'x')).toThrow('Unknown published signing key: "x".')
  })
})

describe('the emergency', () => {
  const revoke = (keys: SigningKey[], kid: string) =>
    revokePlan({ keys, rejected: [{ kid: 'forged', fault: 'wrong_seal' }], now: NOW, policy }, kid, 'leaked')
  const gone = (kid: string): Step => ({ type: 'revoke', kid, reason: 'leaked' })

  it.each<[string, SigningKey[], string, Step[]]>([
    [
      'the active key leaves, the standby signs at once, and the next one is published',
      [a, s],
      'a',
      [gone('a'), { type: 'activate', kid: 's', activatesAt: NOW }, standby('ES256', NOW + INTERVAL_MS)],
    ],
    [
      'even when it is held',
      [key('a', 'active', { held: true }), s],
      'a',
      [gone('a'), { type: 'activate', kid: 's', activatesAt: NOW }, standby('ES256', NOW + INTERVAL_MS)],
    ],
    [
      'without a standby a new key signs at once',
      [a],
      'a',
      [gone('a'), active('ES256'), standby('ES256', NOW + INTERVAL_MS)],
    ],
    ['a standby is replaced', [a, s], 's', [gone('s'), standby('ES256', turnOf(a))]],
    ['a retiring key leaves', [a, s, key('r', 'retiring')], 'r', [gone('r')]],
    [
      'a row that is not genuine is removed, and nothing else happens',
      [a, s],
      'forged',
      [{ type: 'discard', kid: 'forged', reason: 'leaked' }],
    ],
  ])('%s', (_, keys, kid, steps) => {
    expect(revoke(keys, kid)).toEqual(steps)
  })

  it.each<[string, SigningKey[], string, Step[]]>([
    [
      'its standby signs at once',
      [key('s', 'standby', { activatesAt: null, publishedAt: NOW - 1 })],
      'revoked',
      [{ type: 'activate', kid: 's', activatesAt: NOW }, standby('ES256', NOW + INTERVAL_MS)],
    ],
    [
      'without a standby a new key signs',
      [],
      'revoked',
      [active('ES256'), standby('ES256', NOW + INTERVAL_MS)],
    ],
    ['an active key continues to sign', [a, s], 'revoked', []],
    ['not while another row is not genuine', [key('s', 'standby', { activatesAt: null })], 'unknown_key', []],
  ])('that a restore brought back, and that is revoked again: %s', (_, keys, other, steps) => {
    const rejected = [
      { kid: 'r', fault: 'revoked' },
      { kid: 'other', fault: other },
    ]
    expect(revokePlan({ keys, rejected, now: NOW, policy }, 'r', 'leaked')).toEqual([
      { type: 'discard', kid: 'r', reason: 'leaked' },
      ...steps,
    ])
  })

  it('is refused while the standby that it needs is held, because somebody distrusts that one too', () => {
    expect(() => revoke([a, key('s', 'standby', { held: true })], 'a')).toThrow(/standby key s is held/)
  })
})

describe('another policy', () => {
  it('reschedules the standby', () => {
    const shorter = { ...policy, rotationIntervalSeconds: policy.rotationIntervalSeconds / 2 }
    expect(reschedulePlan([a, s], NOW, shorter)).toEqual([{ type: 'schedule', kid: 's', activatesAt: NOW }])
    expect(reschedulePlan([a, key('s', 'standby', { activatesAt: turnOf(a) })], NOW, policy)).toEqual([])
    expect(reschedulePlan([a, key('s', 'standby', { activatesAt: null })], NOW, shorter)).toEqual([])
  })
})
