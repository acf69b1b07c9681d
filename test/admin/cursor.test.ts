import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { Cursors, type List } from '../../src/admin/cursor.ts'
import { systemRandom } from '../../src/system/random.ts'
import { type NamedKey, Secret } from '../../src/system/secret.ts'

const key = (id: string): NamedKey => ({ id, key: new Secret(randomBytes(32)) })
const [older, newer] = [key('e1'), key('e2')]
const cursors = (...encryptionKeys: NamedKey[]) => new Cursors({ encryptionKeys, random: systemRandom })

const LIST: List = { path: '/keys', tenant: 'acme', filter: { label: { name: 'team' } } }
const PLACE = /^\d{1,19}$/
const NONE = 'is not a next_cursor of this API: send one from the previous page, or none'

describe('A cursor', () => {
  it('is read by every process with the key that wrote it, also when another key writes by now', () => {
    const written = cursors(older).write(LIST, '12345')
    for (const reader of [cursors(older), cursors(older, newer), cursors(newer, older)])
      expect(reader.read(LIST, written, PLACE)).toBe('12345')
    expect(() => cursors(newer).read(LIST, written, PLACE)).toThrow(NONE)
  })

  it('does not reveal its position: neither as text, nor by its length, nor by being equal to another', () => {
    const all = ['1', '1', '999', '9'.repeat(19), '123456-7890123'].map(place =>
      cursors(older).write(LIST, place),
    )
    expect(new Set(all).size).toBe(all.length)
    expect(new Set(all.map(({ length }) => length)).size).toBe(1)
    const longer = { path: '/audit-events', filter: { actor: 'a'.repeat(200), target: 'key_1' } }
    expect(cursors(older).write(longer, '7')).toHaveLength(all[0]?.length ?? 0)
    for (const cursor of all)
      expect(Buffer.from(cursor, 'base64url').toString('latin1')).not.toMatch(/999|12345|keys|acme/)
  })

  it('is rejected when any of its bits is changed', () => {
    const bytes = Buffer.from(cursors(older).write(LIST, '12345'), 'base64url')
    for (let index = 0; index < bytes.length; index++) {
      const forged = Buffer.from(bytes)
      forged[index] = (forged[index] ?? 0) ^ 1
      expect(() => cursors(older).read(LIST, forged.toString('base64url'), PLACE)).toThrow(NONE)
    }
  })

  it.each<[string, List, string]>([
    ['list', { ...LIST, path: '/admin-tokens' }, 'belongs to another list'],
    ['tenant', { ...LIST, tenant: 'rival' }, 'belongs to another tenant'],
    ['filter', { ...LIST, filter: {} }, 'belongs to another filter'],
  ])('of another %s is rejected by name', (_, other, message) => {
    expect(() => cursors(older).read(LIST, cursors(older).write(other, '1'), PLACE)).toThrow(message)
  })
})
