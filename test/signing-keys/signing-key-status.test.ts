import { beforeAll, expect, it } from 'vitest'
import type { SigningAlg } from '../../src/config/signing-alg.ts'
import { KeyRing, type RingKey } from '../../src/signing-keys/key-ring.ts'
import {
  type GeneratedKey,
  generateSigningKey,
  importPrivateKey,
} from '../../src/signing-keys/signing-key.ts'
import { signingKeyStatuses } from '../../src/signing-keys/signing-key-status.ts'

const NOW = 1_800_000_000_000
const DAY_MS = 86_400_000

const pairs: Record<SigningAlg, GeneratedKey[]> = {} as never
beforeAll(async () => {
  for (const alg of ['ES256', 'EdDSA'] as const)
    pairs[alg] = await Promise.all(Array.from({ length: 3 }, () => generateSigningKey(alg)))
})

async function ring(...keys: [alg: SigningAlg, more: Partial<RingKey>][]): Promise<KeyRing> {
  const ringKeys = keys.map(async ([alg, more], index): Promise<RingKey> => {
    const { kid, publicJwk, privateJwk } = pairs[alg][index % 3] as GeneratedKey
    const times = {
      publishedAt: NOW - 2 * DAY_MS,
      activatesAt: NOW - DAY_MS,
      retiresAt: null,
      forgetsAt: null,
    }
    const privateKey = importPrivateKey(privateJwk)
    return { kid, alg, publicJwk, privateKey, state: 'active', held: false, ...times, ...more }
  })
  const policy = {
    signingAlg: 'ES256' as const,
    otherSigningAlgs: ['EdDSA' as const],
    audienceSigningAlgs: {},
  }
  return KeyRing.of(await Promise.all(ringKeys), policy)
}

const standby = (activatesAt: number | null): Partial<RingKey> => ({ state: 'standby', activatesAt })

it.each<[string, [SigningAlg, Partial<RingKey>][], object]>([
  [
    'a day old, with a standby whose time is not fixed',
    [
      ['ES256', {}],
      ['ES256', standby(null)],
    ],
    {
      published: { active: 1, standby: 1, retiring: 0 },
      signerAgeSeconds: 86_400,
      nextActivationSeconds: undefined,
    },
  ],
  [
    'to be replaced in an hour',
    [
      ['ES256', {}],
      ['ES256', standby(NOW + 3_600_000)],
    ],
    {
      published: { active: 1, standby: 1, retiring: 0 },
      signerAgeSeconds: 86_400,
      nextActivationSeconds: 3_600,
    },
  ],
  [
    'replaced by time, although the stored state lags: the age is that of the key that signs',
    [
      ['ES256', {}],
      ['ES256', standby(NOW - 90_000)],
    ],
    { published: { active: 1, standby: 1, retiring: 0 }, signerAgeSeconds: 90, nextActivationSeconds: -90 },
  ],
  [
    'without a standby, with one that retires',
    [
      ['ES256', {}],
      ['ES256', { state: 'retiring', activatesAt: NOW - 9 * DAY_MS, privateKey: undefined }],
    ],
    {
      published: { active: 1, standby: 0, retiring: 1 },
      signerAgeSeconds: 86_400,
      nextActivationSeconds: undefined,
    },
  ],
  [
    'published, and not usable for signing here',
    [['ES256', { privateKey: undefined }]],
    {
      published: { active: 1, standby: 0, retiring: 0 },
      signerAgeSeconds: undefined,
      nextActivationSeconds: undefined,
    },
  ],
])('a key is %s', async (_, keys, expected) => {
  expect(signingKeyStatuses(await ring(...keys), NOW)).toEqual([{ alg: 'ES256', ...expected }])
})

it('each algorithm is independent', async () => {
  const statuses = signingKeyStatuses(await ring(['ES256', {}], ['EdDSA', { activatesAt: NOW }]), NOW)
  expect(Object.fromEntries(statuses.map(({ alg, signerAgeSeconds }) => [alg, signerAgeSeconds]))).toEqual({
    ES256: 86_400,
    EdDSA: 0,
  })
})

it('without keys there is no status', async () => {
  expect(signingKeyStatuses(await ring(), NOW)).toEqual([])
})
