import { createPublicKey } from 'node:crypto'
import { inspect } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import type { SigningAlg } from '../../src/config/config.ts'
import { KeyRing, type RingKey } from '../../src/signing-keys/jwks.ts'
import {
  type GeneratedKey,
  generateSigningKey,
  importPrivateKey,
} from '../../src/signing-keys/signing-key.ts'

const NOW = 1_800_000_000_000

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
    held: false,
    ...more,
  }
}

describe('the signer at a time', () => {
  type Spec = [name: 'a' | 'b' | 'c' | 'rsa', more: Partial<RingKey>]
  it.each<[string, Spec[], SigningAlg, string | undefined]>([
    ['is the active key', [['a', {}]], 'ES256', 'a'],
    ['is nobody without keys', [], 'ES256', undefined],
    ['is nobody when only another algorithm has keys', [['rsa', {}]], 'ES256', undefined],
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
      'is never a key whose private half is not held',
      [
        ['a', {}],
        ['b', { privateKey: undefined, activatesAt: NOW }],
      ],
      'ES256',
      'a',
    ],
    [
      'is nobody when all that is published is public',
      [['a', { privateKey: undefined }]],
      'ES256',
      undefined,
    ],
  ])('%s', async (_, specs, alg, expected) => {
    const ring = await KeyRing.of(await Promise.all(specs.map(([name, more]) => ringKey(name, more))))
    expect(ring.signer(alg, NOW)?.kid).toBe(expected && generated[expected as 'a'].kid)
  })
})

describe('the JWK Set', () => {
  it('is the same bytes whatever the order and the states that the keys came in', async () => {
    const one = await KeyRing.of([await ringKey('a'), await ringKey('b'), await ringKey('rsa')])
    const two = await KeyRing.of([
      await ringKey('rsa'),
      await ringKey('b', { state: 'standby', privateKey: undefined }),
      await ringKey('a', { activatesAt: null }),
    ])
    expect(two.jwks).toBe(one.jwks)
  })

  it('has every key, in the order of kids, with public members only', async () => {
    const { keys } = JSON.parse(
      (await KeyRing.of([await ringKey('a'), await ringKey('b'), await ringKey('rsa')])).jwks,
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

  it('has every key as PEM too, the same key to a stranger, and no other', async () => {
    const ring = await KeyRing.of([await ringKey('a'), await ringKey('rsa')])
    for (const name of ['a', 'rsa'] as const) {
      const { kid, publicJwk } = generated[name]
      const { kty, crv, x, y, n, e } = createPublicKey(ring.pem(kid) ?? '').export({ format: 'jwk' })
      expect(publicJwk).toMatchObject(JSON.parse(JSON.stringify({ kty, crv, x, y, n, e })))
    }
    for (const kid of [generated.b.kid, '', '__proto__', 'constructor']) expect(ring.pem(kid)).toBeUndefined()
  })
})

it('a private half in memory is not printed', async () => {
  const { privateKey } = await ringKey('a')
  const { d } = generated.a.privateJwk
  for (const text of [inspect(privateKey, { depth: 9, showHidden: true }), JSON.stringify({ privateKey })])
    expect(text).not.toContain(d)
})
