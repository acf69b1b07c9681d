import { createHmac, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatCredential, parseCredential, randomId } from '../../src/api-keys/api-key.ts'
import { KeyDigests } from '../../src/api-keys/key-digest.ts'
import { systemRandom } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'

/** The pattern for secret scanners (design, section 3). */
const SCANNER = /\bmmk_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}\b/
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** CRC-32 (IEEE 802.3), bit by bit, and base62: an independent implementation of the definition. */
function crc32(text: string): number {
  let crc = 0xffffffff
  for (const byte of Buffer.from(text)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}
function base62(value: number): string {
  return value === 0 ? '' : base62(Math.floor(value / 62)) + ALPHABET[value % 62]
}
const withChecksum = (body: string) => body + base62(crc32(body)).padStart(6, '0')

const id = fc.string({ unit: fc.constantFrom(...ALPHABET), minLength: 16, maxLength: 16 })
const secret = fc.string({ unit: fc.constantFrom(...ALPHABET), minLength: 43, maxLength: 43 })
const credential = fc
  .tuple(fc.constantFrom('mmk', 'mma'), id, secret)
  .map(([prefix, name, rest]) => withChecksum(`${prefix}_${name}_${rest}`))
/** The required number of equal random bytes: the edges of base62. */
const bytes = fc.uint8Array({ minLength: 32, maxLength: 32 })

describe('a new key', () => {
  it('has the documented form, length and checksum, whatever the random bytes are', () => {
    fc.assert(
      fc.property(bytes, id, (drawn, name) => {
        const random = { ...systemRandom, bytes: (length: number) => Buffer.from(drawn.slice(0, length)) }
        const made = formatCredential('mmk', name, random)
        expect(made).toHaveLength(70)
        expect(made).toMatch(new RegExp(`^${SCANNER.source}$`))
        expect(made).toBe(withChecksum(made.slice(0, -6)))
        expect(parseCredential(made)).toEqual({ prefix: 'mmk', id: name })
      }),
    )
  })

  it('uses all 256 bits: different bytes give different keys, most significant digit first', () => {
    const of = (drawn: Buffer) =>
      formatCredential('mmk', '0'.repeat(16), { ...systemRandom, bytes: () => drawn }).slice(21, 64)
    expect(of(Buffer.alloc(32))).toBe('0'.repeat(43))
    expect(of(Buffer.from(`${'00'.repeat(31)}3e`, 'hex'))).toBe(`${'0'.repeat(41)}10`)
    const decoded = [...of(Buffer.alloc(32, 255))].reduce(
      (value, digit) => value * 62n + BigInt(ALPHABET.indexOf(digit)),
      0n,
    )
    expect(decoded).toBe(2n ** 256n - 1n)
  })

  it('is found in text by the pattern for secret scanners, exactly', () => {
    const made = formatCredential('mmk', randomId(systemRandom), systemRandom)
    for (const text of [`export KEY=${made}`, `{"client_secret":"${made}"}`, `(${made})`, `a\n${made}\n`])
      expect(SCANNER.exec(text)?.[0]).toBe(made)
    expect(SCANNER.test(`x${made}`)).toBe(false)
    expect(SCANNER.test(`${made}x`)).toBe(false)
  })

  it('never repeats its id or secret in 10,000', () => {
    const made = Array.from({ length: 10_000 }, () =>
      formatCredential('mmk', randomId(systemRandom), systemRandom),
    )
    expect(new Set(made.map(key => key.slice(4, 20))).size).toBe(made.length)
    expect(new Set(made.map(key => key.slice(21))).size).toBe(made.length)
  })
})

describe('a presented key', () => {
  it('is accepted when its format and its checksum are right', () => {
    fc.assert(
      fc.property(credential, presented => {
        expect(parseCredential(presented)).toEqual({
          prefix: presented.slice(0, 3),
          id: presented.slice(4, 20),
        })
      }),
    )
  })

  it('is rejected when any one character differs', () => {
    const change = fc.tuple(
      credential,
      fc.nat(69),
      fc.string({ minLength: 1, maxLength: 1, unit: 'grapheme' }),
    )
    fc.assert(
      fc.property(
        change.filter(([presented, at, character]) => presented[at] !== character),
        ([presented, at, character]) => {
          const changed = presented.slice(0, at) + character + presented.slice(at + 1)
          expect(parseCredential(changed)).toBeUndefined()
        },
      ),
      { numRuns: 2_000 },
    )
  })

  it('is rejected when two neighbours are swapped', () => {
    fc.assert(
      fc.property(credential, fc.nat(68), (presented, at) => {
        const [a = '', b = ''] = [presented[at], presented[at + 1]]
        fc.pre(a !== b)
        expect(parseCredential(presented.slice(0, at) + b + a + presented.slice(at + 2))).toBeUndefined()
      }),
    )
  })

  it.each<[string, (key: string) => string]>([
    ['a character too few', key => key.slice(0, -1)],
    ['a character too many', key => `${key}0`],
    ['a newline after it', key => `${key}\n`],
    ['a space before it', key => ` ${key}`],
    ['a NUL after it', key => `${key}\0`],
    ['other case', key => key.toUpperCase()],
    ['another prefix with a checksum of its own', key => withChecksum(`mmx${key.slice(3, -6)}`)],
    ['a letter from elsewhere', key => key.replace(/[0-9A-Za-z]$/, 'а')],
    ['full-width digits', key => key.replace(/\d/g, digit => String.fromCodePoint(0xff10 + Number(digit)))],
    ['nothing', () => ''],
    ['a hundred thousand characters', key => key.repeat(1_500)],
  ])('is refused with %s', (_, spoil) => {
    const made = formatCredential('mmk', randomId(systemRandom), systemRandom)
    expect(parseCredential(spoil(made))).toBeUndefined()
  })
})

describe('digests', () => {
  const pepper = (name: string, key = randomBytes(32)) => ({ id: name, key: new Secret(key) })

  it('are HMAC-SHA-256 over the whole key, with the pepper as the key', () => {
    const key = randomBytes(32)
    expect(new KeyDigests([pepper('p1', key)]).forStoring('mmk_whole_key')).toEqual({
      pepperId: 'p1',
      digest: createHmac('sha256', key).update('mmk_whole_key').digest(),
    })
  })
  it('are stored under the first pepper and looked up under every one', () => {
    const digests = new KeyDigests([pepper('new'), pepper('old')])
    expect(digests.forStoring('x').pepperId).toBe('new')
    expect(digests.forFinding('x').map(({ pepperId }) => pepperId)).toEqual(['new', 'old'])
    expect(digests.forFinding('x')[0]).toEqual(digests.forStoring('x'))
    expect(digests.names('x')).toEqual(digests.forFinding('x').map(({ digest }) => digest.toString('base64')))
  })
  it('differ when any character of the key differs, the checksum included, and under any other pepper', () => {
    const digests = new KeyDigests([pepper('a'), pepper('b')])
    const made = formatCredential('mmk', randomId(systemRandom), systemRandom)
    const hex = (text: string) => digests.forFinding(text).map(({ digest }) => digest.toString('hex'))
    const variants = [
      made,
      ...Array.from(made, (_, at) => `${made.slice(0, at)}~${made.slice(at + 1)}`),
    ].flatMap(hex)
    expect(new Set(variants).size).toBe(variants.length)
  })
  it('require a pepper', () => {
    expect(() => new KeyDigests([]).forStoring('x')).toThrow('there is no pepper')
  })
})
