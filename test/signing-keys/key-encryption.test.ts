import { createHash, randomBytes } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  type EncryptedKey,
  KeyDecryptionError,
  KeyEncryption,
} from '../../src/signing-keys/key-encryption.ts'
import { type GeneratedKey, generateSigningKey } from '../../src/signing-keys/signing-key.ts'
import { systemRandom as random } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'

const named = (id: string, bytes = randomBytes(32)) => ({ id, key: new Secret(bytes) })
const e1 = named('e1')
const e2 = named('e2')
const encryption = new KeyEncryption({ keys: [e1], random })

let made: GeneratedKey
let other: GeneratedKey
let encrypted: EncryptedKey

beforeAll(async () => {
  made = await generateSigningKey('ES256')
  other = await generateSigningKey('ES256')
  encrypted = encryption.encrypt(made.kid, made.privateJwk)
})

const opening = (kid: string, stored: EncryptedKey, keys = [e1]) =>
  new KeyEncryption({ keys, random }).decrypt(kid, stored)
const WRONG =
  /cannot be decrypted with the encryption key "e1": that key is not the original one, or the row was altered\. Restore the original key or the row\.$/

describe('an encrypted private key', () => {
  it('decrypts to the original, with the key that it names, at any position in the list', async () => {
    expect(await opening(made.kid, encrypted)).toEqual(made.privateJwk)
    expect(await opening(made.kid, encrypted, [e2, e1])).toEqual(made.privateJwk)
  })

  it('is encrypted under the first of the list and names it', () => {
    expect(encrypted.encryptionKeyId).toBe('e1')
    expect(
      new KeyEncryption({ keys: [e2, e1], random }).encrypt(made.kid, made.privateJwk).encryptionKeyId,
    ).toBe('e2')
  })

  it('never has the same bytes twice, and contains no plain text', () => {
    const seen = Array.from({ length: 50 }, () => encryption.encrypt(made.kid, made.privateJwk).bytes)
    expect(new Set(seen.map(bytes => bytes.subarray(0, 12).toString('hex'))).size).toBe(50)
    expect(encrypted.bytes.includes(Buffer.from(made.privateJwk.d ?? 'none'))).toBe(false)
    expect(encrypted.bytes.includes(Buffer.from('"kty"'))).toBe(false)
  })

  it('does not decrypt when any one bit of it is flipped: nonce, tag or ciphertext', async () => {
    for (let bit = 0; bit < encrypted.bytes.length * 8; bit += 7) {
      const bytes = Buffer.from(encrypted.bytes)
      bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      await expect(opening(made.kid, { ...encrypted, bytes })).rejects.toThrow(WRONG)
    }
  })

  it.each<[string, () => Promise<unknown>, RegExp]>([
    ['moved onto another kid', () => opening(other.kid, encrypted), WRONG],
    ['cut off', () => opening(made.kid, { ...encrypted, bytes: encrypted.bytes.subarray(0, -1) }), WRONG],
    [
      'cut down to less than a tag',
      () => opening(made.kid, { ...encrypted, bytes: encrypted.bytes.subarray(0, 20) }),
      WRONG,
    ],
    ['empty', () => opening(made.kid, { ...encrypted, bytes: Buffer.alloc(0) }), WRONG],
    ['opened with another key of the same id', () => opening(made.kid, encrypted, [named('e1')]), WRONG],
    [
      'of a key that is not in the list',
      () => opening(made.kid, encrypted, [e2]),
      /is encrypted with the encryption key "e1", which MINTMARK_ENCRYPTION_KEYS lacks: add it to the list\.$/,
    ],
    [
      'another private key under this kid',
      () => opening(made.kid, encryption.encrypt(made.kid, other.privateJwk)),
      WRONG,
    ],
  ])('%s does not decrypt, and the error names the kid and the cure', async (_, open, message) => {
    const error = await open().then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(KeyDecryptionError)
    expect((error as Error).message).toMatch(/^Signing key [\w-]{43} /)
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).not.toContain(made.privateJwk.d)
  })

  it('cannot be created without a key', () => {
    expect(() => new KeyEncryption({ keys: [], random }).encrypt(made.kid, made.privateJwk)).toThrow(
      'there is no encryption key',
    )
  })
})

describe('a generated key', () => {
  it.each(['ES256', 'RS256', 'PS256', 'EdDSA'] as const)(
    'of %s: its public JWK has public members only, and its kid is the RFC 7638 thumbprint',
    async alg => {
      const { kid, publicJwk, privateJwk } = await generateSigningKey(alg)
      const required: Record<string, string[]> = {
        EC: ['crv', 'kty', 'x', 'y'],
        RSA: ['e', 'kty', 'n'],
        OKP: ['crv', 'kty', 'x'],
      }
      const members = required[publicJwk.kty ?? ''] ?? []
      const canonical = JSON.stringify(Object.fromEntries(members.map(name => [name, publicJwk[name]])))
      expect(kid).toBe(createHash('sha256').update(canonical).digest('base64url'))
      expect(Object.keys(publicJwk).sort()).toEqual([...members, 'alg', 'kid', 'use'].sort())
      expect(publicJwk).toMatchObject({ alg, kid, use: 'sig' })
      expect(privateJwk.d).toBeTypeOf('string')
    },
  )
})
