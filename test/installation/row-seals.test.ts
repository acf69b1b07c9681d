import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { RowSeals, type SealedKind, sealIds } from '../../src/installation/row-seals.ts'
import { UntrustedRows } from '../../src/installation/untrusted-rows.ts'
import { Secret } from '../../src/system/secret.ts'

const named = (id: string) => ({ id, key: new Secret(randomBytes(32)) })
const [e1, e2, p1, p2] = [named('e1'), named('e2'), named('p1'), named('p2')]
const seals = new RowSeals({ encryptionKeys: [e1], peppers: [p1] })
const recorded = {
  encryptionKeys: ['e1', 'e2'],
  peppers: ['p1', 'p2'],
  current: { encryptionKey: 'e2', pepper: 'p1' },
}

const KIND: SealedKind<'a' | 'b'> = {
  kind: 'signing_key',
  table: 'signing_keys',
  columns: ['a', 'b'],
  harmless: {},
}
const row = { a: 'x', b: 'y' }
const faultOf = (by: RowSeals, changed: Parameters<RowSeals['faultOf']>[1], seal = seals.seal(KIND, row)) =>
  by.faultOf(KIND, changed as typeof row, seal, recorded)

describe('a seal', () => {
  it('is right for the row that it was made for', () => {
    expect(faultOf(seals, row)).toBeUndefined()
    expect(seals.seal(KIND, row).sealedWith).toBe('v1:e1:p1')
  })

  it('is the same in every release, so that rows which another one sealed stay genuine', () => {
    const fixed = (id: string, byte: number) => ({ id, key: new Secret(Buffer.alloc(32, byte)) })
    const sealing = new RowSeals({ encryptionKeys: [fixed('e1', 1)], peppers: [fixed('p1', 2)] })
    const kind: SealedKind<'a' | 'b' | 'c' | 'd'> = { ...KIND, columns: ['a', 'b', 'c', 'd'], harmless: {} }
    const { seal } = sealing.seal(kind, { a: Buffer.from([0, 255]), b: 'text', c: 7, d: null })
    // Computed with Python's hmac and hashlib: HMAC-SHA-256 over length and bytes of each part, below HKDF's key.
    expect(seal.toString('hex')).toBe('36d3a2b6d02ab6db34f239ba3741c4925e1e0ad9f7716be1d3b7487e2b4ca6fa')
  })

  it.each<[string, Record<'a' | 'b', string | number | boolean | null | Buffer>]>([
    ['another value', { a: 'x', b: 'z' }],
    ['values that were swapped', { a: 'y', b: 'x' }],
    ['a boundary that moved', { a: 'xy', b: '' }],
    ['null instead of the text', { a: 'x', b: null }],
    ['bytes instead of the text', { a: 'x', b: Buffer.from('y') }],
  ])('is wrong for %s', (_, changed) => {
    expect(faultOf(seals, changed)).toBe('wrong_seal')
  })

  it.each([
    ['null and the text null', null, 'null'],
    ['a number and its text', 1, '1'],
    ['true and its text', true, 'true'],
    ['nothing and no bytes', null, Buffer.alloc(0)],
    ['no text and no bytes', '', Buffer.alloc(0)],
  ])('differs for %s', (_, one, other) => {
    const sealOf = (a: unknown) => seals.seal(KIND, { a: a as string, b: '' }).seal.toString('hex')
    expect(sealOf(one)).not.toBe(sealOf(other))
  })

  it('is wrong for the same values in another table, and as another kind', () => {
    const seal = seals.seal(KIND, row)
    const table = { ...KIND, table: 'api_key_secrets' as const }
    const kind = { ...KIND, kind: 'imported_secret' as const }
    expect(seals.faultOf(table, row, seal, recorded)).toBe('wrong_seal')
    expect(seals.faultOf(kind, row, seal, recorded)).toBe('wrong_seal')
  })

  it('needs the encryption key and the pepper: neither alone makes it', () => {
    const otherPepper = new RowSeals({ encryptionKeys: [e1], peppers: [{ ...p2, id: 'p1' }] })
    const otherKey = new RowSeals({ encryptionKeys: [{ ...e2, id: 'e1' }], peppers: [p1] })
    expect(faultOf(otherPepper, row)).toBe('wrong_seal')
    expect(faultOf(otherKey, row)).toBe('wrong_seal')
  })

  it('is made with the first of both lists, and accepted under any', () => {
    const moved = new RowSeals({ encryptionKeys: [e2, e1], peppers: [p2, p1] })
    expect(moved.seal(KIND, row).sealedWith).toBe('v1:e2:p2')
    expect(faultOf(moved, row)).toBeUndefined()
  })

  it.each([
    ['no seal', { sealedWith: null, seal: null }, 'unsealed'],
    ['a seal without its name', { sealedWith: null, seal: Buffer.alloc(32) }, 'wrong_seal'],
    ['a name without its seal', { sealedWith: 'v1:e1:p1', seal: null }, 'wrong_seal'],
    ['a short seal', { sealedWith: 'v1:e1:p1', seal: Buffer.alloc(4) }, 'wrong_seal'],
    ['a key that no replica has', { sealedWith: 'v1:e9:p1', seal: Buffer.alloc(32) }, 'unknown_key'],
    ['a key that other replicas have', { sealedWith: 'v1:e2:p1', seal: Buffer.alloc(32) }, 'lacking_key'],
    ['another version', { sealedWith: 'v2:e1:p1', seal: Buffer.alloc(32) }, 'unknown_key'],
    ['text after the ids', { sealedWith: 'v1:e1:p1:', seal: Buffer.alloc(32) }, 'unknown_key'],
    ['an empty name', { sealedWith: '', seal: Buffer.alloc(32) }, 'unknown_key'],
  ])('%s is a fault', (_, stored, fault) => {
    expect(seals.faultOf(KIND, row, stored, recorded)).toBe(fault)
  })

  it.each([
    [
      'that has the current pair, and lacks another recorded key, takes the row for forged',
      'e1',
      'unknown_key',
    ],
    ['that lacks the current pair leaves it to the others', 'e2', 'lacking_key'],
  ])('a process %s', (_, encryptionKey, fault) => {
    const stored = { sealedWith: 'v1:e2:p1', seal: Buffer.alloc(32) }
    const current = { encryptionKey, pepper: 'p1' }
    expect(seals.faultOf(KIND, row, stored, { ...recorded, current })).toBe(fault)
  })

  it('names its keys only in the form that Mintmark writes', () => {
    expect(sealIds('v1:e1:p1')).toEqual({ encryptionKeyId: 'e1', pepperId: 'p1' })
    expect(sealIds('v1:e1')).toBeUndefined()
    expect(sealIds('v1:e1:p1\n')).toBeUndefined()
  })
})

describe('the rows that are not trusted', () => {
  it('are counted while they are, and each time that one is found', () => {
    const rows = new UntrustedRows()
    rows.note('signing_key', new Map([['a', 'wrong_seal']]))
    rows.note(
      'signing_key',
      new Map([
        ['a', 'wrong_seal'],
        ['b', 'unsealed'],
      ]),
    )
    rows.note('signing_key', new Map([['b', 'unsealed']]))
    expect([rows.counts, rows.found]).toEqual([
      { signing_key: 1, imported_secret: 0, identity_provider: 0, key_credential: 0 },
      { signing_key: 2, imported_secret: 0, identity_provider: 0, key_credential: 0 },
    ])
  })

  it('are listed up to a limit, with ids that are cut', () => {
    const rows = new UntrustedRows()
    rows.note(
      'imported_secret',
      new Map(Array.from({ length: 100 }, (_, n) => [`${n}${'x'.repeat(500)}`, 'unsealed'])),
    )
    expect(rows.listed).toHaveLength(20)
    expect(rows.listed.every(({ id }) => id.length === 64)).toBe(true)
  })
})
