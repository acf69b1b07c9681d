import { createPublicKey } from 'node:crypto'
import { inspect } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import type { SigningAlg } from '../../src/config/signing-alg.ts'
import { KeyRing, type RingKey } from '../../src/signing-keys/key-ring.ts'
import {
  type GeneratedKey,
  generateSigningKey,
  importPrivateKey,
} from '../../src/signing-keys/signing-key.ts'

const NOW = 1_800_000_000_000
const policy = {
  signingAlg: 'ES256' as SigningAlg,
  otherSigningAlgs: ['RS256'] as SigningAlg[],
  audienceSigningAlgs: { legacy: 'RS256', odd: 'EdDSA' } as Record<string, SigningAlg>,
}
/** A ring of these keys under the policy. */
const ringOf = (keys: RingKey[]) => KeyRing.of(keys, policy)

const generated: Record<'a' | 'b' | 'c' | 'rsa', GeneratedKey> = {} as never
beforeAll(async () => {
  for (const name of ['a', 'b', 'c'] as const) generated[name] = await generateSigningKey('ES256')
  generated.rsa = await generateSigningKey('RS256')
})

async function ringKey(name: keyof typeof generated, more: Partial<RingKey> = {}): Promise<RingKey> {
  const { kid, alg, publicJwk, privateJwk } = generated[name]
  const privateKey = importPrivateKey(privateJwk)
  return {
    kid,
    alg,
    publicJwk,
    privateKey,
    state: 'active',
    publishedAt: NOW - 9e6,
    activatesAt: NOW - 1e6,
    retiresAt: null,
    forgetsAt: null,
    held: false,
    ...more,
  }
}

describe('the signer at a time', () => {
  type Spec = [name: 'a' | 'b' | 'c' | 'rsa', more: Partial<RingKey>]
  it.each<[string, Spec[], SigningAlg, string | undefined]>([
    ['is the active key', [['a', {}]], 'ES256', 'a'],
    ['is undefined without keys', [], 'ES256', undefined],
    ['is undefined when only another algorithm has keys', [['rsa', {}]], 'ES256', undefined],
    [
      'is of the algorithm that is asked for',
      [
        ['a', {}],
        ['rsa', {}],
      ],
      'RS256',
      'rsa',
    ],
    [
      'is not a standby without a date',
      [
        ['a', {}],
        ['b', { state: 'standby', activatesAt: null }],
      ],
      'ES256',
      'a',
    ],
    [
      'is not a standby a millisecond before its time',
      [
        ['a', {}],
        ['b', { state: 'standby', activatesAt: NOW + 1 }],
      ],
      'ES256',
      'a',
    ],
    [
      'is the standby from its time on, although its stored state has not changed yet',
      [
        ['a', {}],
        ['b', { state: 'standby', activatesAt: NOW }],
      ],
      'ES256',
      'b',
    ],
    [
      'is the latest of several whose time has come',
      [
        ['a', { activatesAt: NOW - 2 }],
        ['b', { activatesAt: NOW - 1 }],
        ['c', { activatesAt: NOW - 3 }],
      ],
      'ES256',
      'b',
    ],
    [
      'is never a key whose private key is not held',
      [
        ['a', {}],
        ['b', { privateKey: undefined, activatesAt: NOW }],
      ],
      'ES256',
      'a',
    ],
    [
      'is undefined when all published keys are public',
      [['a', { privateKey: undefined }]],
      'ES256',
      undefined,
    ],
  ])('%s', async (_, specs, alg, expected) => {
    const ring = await ringOf(await Promise.all(specs.map(([name, more]) => ringKey(name, more))))
    expect(ring.signer(alg, NOW)?.kid).toBe(expected && generated[expected as 'a'].kid)
  })
})

describe('the signer of a token for audiences', () => {
  type Spec = [name: 'a' | 'b' | 'rsa', more: Partial<RingKey>]
  const both: Spec[] = [
    ['a', {}],
    ['rsa', {}],
  ]
  it.each<[string, Spec[], string[], string]>([
    ['is of the default algorithm', both, ['vllm'], 'a'],
    ['is of the algorithm that the audience needs', both, ['legacy'], 'rsa'],
    ['is of the algorithm that one of several audiences needs', both, ['vllm', 'legacy'], 'rsa'],
    ['is undefined when two audiences need different ones', both, ['legacy', 'odd'], 'ambiguous'],
    ['is the key used last while a chosen algorithm has none', both, ['odd'], 'rsa'],
    [
      'is the default while the key of the chosen algorithm waits for its time',
      [
        ['a', {}],
        ['rsa', { state: 'standby', activatesAt: NOW + 1 }],
      ],
      ['legacy'],
      'a',
    ],
    ['is not taken in by the names that every object has', both, ['constructor'], 'a'],
  ])('%s', async (_, specs, audiences, expected) => {
    const ring = await ringOf(
      await Promise.all(
        specs.map(([name, more]) => ringKey(name, { activatesAt: NOW - (name === 'a' ? 2 : 1), ...more })),
      ),
    )
    const signer = ring.signerFor(audiences, NOW)
    expect(typeof signer === 'object' ? signer.kid : signer).toBe(
      expected === 'ambiguous' ? expected : generated[expected as 'a'].kid,
    )
  })
})

describe('the JWK Set', () => {
  it('has the same bytes whatever the order and states of the keys', async () => {
    const one = await ringOf([await ringKey('a'), await ringKey('b'), await ringKey('rsa')])
    const two = await ringOf([
      await ringKey('rsa'),
      await ringKey('b', { state: 'standby', privateKey: undefined }),
      await ringKey('a', { activatesAt: null }),
    ])
    expect(two.jwks).toBe(one.jwks)
  })

  it('has every key, in the order of kids, with public members only', async () => {
    const { keys } = JSON.parse(
      (await ringOf([await ringKey('a'), await ringKey('b'), await ringKey('rsa')])).jwks,
    )
    expect(keys.map((key: { kid: string }) => key.kid)).toEqual(
      [generated.a.kid, generated.b.kid, generated.rsa.kid].sort(),
    )
    for (const key of keys)
      expect(
        Object.keys(key).every(name =>
          ['kty', 'crv', 'x', 'y', 'n', 'e', 'kid', 'alg', 'use'].includes(name),
        ),
      ).toBe(true)
  })

  it('has every key as PEM too, the same key for another library, and no other', async () => {
    const ring = await ringOf([await ringKey('a'), await ringKey('rsa')])
    for (const name of ['a', 'rsa'] as const) {
      const { kid, publicJwk } = generated[name]
      const { kty, crv, x, y, n, e } = createPublicKey(ring.pem(kid) ?? '').export({ format: 'jwk' })
      expect(publicJwk).toMatchObject(JSON.parse(JSON.stringify({ kty, crv, x, y, n, e })))
    }
    for (const kid of [generated.b.kid, '', '__proto__', 'constructor']) expect(ring.pem(kid)).toBeUndefined()
  })
})

it('a private key in memory is not printed', async () => {
  const { privateKey } = await ringKey('a')
  const { d } = generated.a.privateJwk
  for (const text of [inspect(privateKey, { depth: 9, showHidden: true }), JSON.stringify({ privateKey })])
    expect(text).not.toContain(d)
})
