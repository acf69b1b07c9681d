import { randomBytes } from 'node:crypto'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ExtensionFile, writeExtension } from '../../src/snapshots/emergency-extension.ts'
import type { SnapshotContent } from '../../src/snapshots/snapshot.ts'
import { Snapshots } from '../../src/snapshots/snapshots.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom as random } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'

/** A good snapshot, and a newer one that is damaged in every way: the good one is used, whatever the other has. */
const NOW = 1_790_000_000_000
const key = (id: string) => ({ id, key: new Secret(randomBytes(32)) })
const encryptionKeys = [key('e1')]
const peppers = [key('p1')]
const issuer = 'https://tokens.example.test'
const logger = createLogger('silent')
const folder = mkdtempSync(join(tmpdir(), 'mintmark-damaged-'))
const clock = { ...systemClock, wallMs: () => NOW }
const content: SnapshotContent = {
  signingKeys: { rows: [], seenAt: NOW } as unknown as SnapshotContent['signingKeys'],
  gone: ['key key_0000000000000000'],
  denied: [],
  introspectors: [],
  directory: { tenants: [], keys: [] } as unknown as SnapshotContent['directory'],
  identities: { providers: [], keys: [], fetched: [] } as unknown as SnapshotContent['identities'],
  tombstones: undefined,
}
const snapshots = (id = 'reader') =>
  new Snapshots({ folder, id, issuer, encryptionKeys, peppers, random, clock, logger })
const about = (seenAt: number) => ({
  position: { number: '7', id: 'x' },
  seenAt,
  writer: 'test',
  writerVersion: '0.0.0',
})
const used = async () => {
  const opened = await snapshots().newest({ now: NOW, longestAgeMs: 60_000, extendedFrom: undefined })
  return opened.name
}
/** Its first line and the length of its header: every bit of them is damaged. What follows is authenticated: one bit of each byte. */
const OPENING_BYTES = 'mintmark sealed file 1\n'.length + 4
const bitsOf = (file: Buffer) =>
  Array.from(file.keys()).flatMap(byte =>
    byte < OPENING_BYTES ? [0, 1, 2, 3, 4, 5, 6, 7].map(bit => byte * 8 + bit) : [byte * 8 + (byte % 8)],
  )
const withBitChanged = (file: Buffer, bit: number) => {
  const bytes = Buffer.from(file)
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return bytes
}
let newer: Buffer
const NEWER = join(folder, 'newer.snapshot')

beforeAll(async () => {
  await snapshots('older').write(about(NOW - 20_000), content)
  await snapshots('newer').write(about(NOW - 10_000), content)
  newer = readFileSync(NEWER)
  expect(await used()).toBe('newer.snapshot')
})
beforeEach(() => rm(NEWER, { recursive: true, force: true }))
afterAll(() => rmSync(folder, { recursive: true }))

describe('A newer snapshot, of which', () => {
  it('one bit is wrong, in any byte', async () => {
    for (const bit of bitsOf(newer)) {
      writeFileSync(NEWER, withBitChanged(newer, bit))
      expect(await used(), `bit ${bit & 7} of byte ${bit >> 3}`).toBe('older.snapshot')
    }
  })

  it('the end is missing, at every length', async () => {
    for (let length = 0; length < newer.length; length++) {
      writeFileSync(NEWER, newer.subarray(0, length))
      expect(await used(), `${length} bytes`).toBe('older.snapshot')
    }
  })

  it.each([
    ['a folder', () => void mkdirSync(NEWER)],
    ['a link to nothing', () => symlinkSync(join(folder, 'nothing'), NEWER)],
    ['a link to itself', () => symlinkSync(NEWER, NEWER)],
    ['a file with more at its end', () => writeFileSync(NEWER, Buffer.concat([newer, newer]))],
    ['a header of null', () => writeFileSync(NEWER, headed('null'))],
    ['a header without anything', () => writeFileSync(NEWER, headed('{}'))],
  ])('there is only %s', async (_, make) => {
    make()
    expect(await used()).toBe('older.snapshot')
  })

  it('there is a link to the file, is used as the file', async () => {
    writeFileSync(join(folder, 'elsewhere'), newer)
    symlinkSync(join(folder, 'elsewhere'), NEWER)
    expect(await used()).toBe('newer.snapshot')
  })
})

it('Two processes that write at the same time leave two whole files, and nothing else', async () => {
  const writers = ['one', 'two'].map(id => snapshots(id))
  for (let count = 0; count < 5; count++)
    await Promise.all(writers.map(writer => writer.write(about(NOW - 5_000 + count), content)))
  expect(['one.snapshot', 'two.snapshot']).toContain(await used())
  expect(readdirSync(folder).filter(name => name.endsWith('.tmp'))).toEqual([])
})

it('A write removes what processes that ended left, but nothing that is newer, young, or of another installation', async () => {
  const own = mkdtempSync(join(tmpdir(), 'mintmark-left-'))
  const of = (id: string, more: object = {}) =>
    new Snapshots({ folder: own, id, issuer, encryptionKeys, peppers, random, clock, logger, ...more })
  const left = async (name: string, minutes: number) => {
    const seconds = NOW / 1000 - minutes * 60
    await utimes(join(own, name), seconds, seconds)
  }
  try {
    await of('older').write(about(NOW - 20_000), content)
    await of('young').write(about(NOW - 20_000), content)
    await of('newer').write(about(NOW - 5_000), content)
    await of('foreign', { issuer: 'https://other.example.test' }).write(about(NOW - 20_000), content)
    await of('locked', { encryptionKeys: [key('e2')] }).write(about(NOW - 20_000), content)
    for (const name of ['old.tmp', 'young.tmp', 'notes', 'emergency-extension'])
      writeFileSync(join(own, name), 'x')
    for (const name of readdirSync(own)) await left(name, name.startsWith('young') ? 9 : 11)
    await of('own').write(about(NOW - 10_000), content)
    const [foreign, kept] = [
      ['foreign.snapshot', 'locked.snapshot'],
      ['newer.snapshot', 'own.snapshot'],
    ]
    const others = ['emergency-extension', 'notes', 'young.snapshot', 'young.tmp']
    expect(readdirSync(own).toSorted()).toEqual([...foreign, ...kept, ...others].toSorted())
  } finally {
    rmSync(own, { recursive: true })
  }
})

describe('An extension', () => {
  const means = { folder, issuer, encryptionKeys }
  const path = join(folder, 'emergency-extension')
  const extension = (id: string, createdAt = NOW) => ({
    id,
    until: NOW + 3_600_000,
    createdAt,
    reason: 'test',
    createdOn: 'test',
    issuer,
    from: { position: { number: '7', id: 'x' }, seenAt: NOW - 20_000 },
  })
  const file = () => new ExtensionFile({ ...means, now: () => NOW })

  it('stays in effect while the volume does not answer, and ends with its file', async () => {
    await writeExtension({ ...means, random }, extension('one'))
    const read = file()
    await read.refresh()
    expect(read.current?.id).toBe('one')
    await rm(path)
    symlinkSync(path, path)
    await expect(read.refresh()).rejects.toMatchObject({ kind: 'unreadable' })
    expect(read.current?.id).toBe('one')
    await rm(path)
    mkdirSync(path)
    await expect(read.refresh()).rejects.toMatchObject({ kind: 'unreadable' })
    expect(read.current?.id).toBe('one')
    await rm(path, { recursive: true })
    await read.refresh()
    expect(read.current).toBeUndefined()
  })

  it('of which one bit is wrong, in any byte, or the end is missing, is not in effect', async () => {
    await writeExtension({ ...means, random }, extension('one'))
    const whole = readFileSync(path)
    for (const bit of bitsOf(whole)) {
      writeFileSync(path, withBitChanged(whole, bit))
      const read = file()
      await expect(read.refresh(), `bit ${bit & 7} of byte ${bit >> 3}`).rejects.toMatchObject({
        name: 'SnapshotFault',
      })
      expect(read.current).toBeUndefined()
    }
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length))
      const read = file()
      await expect(read.refresh(), `${length} bytes`).rejects.toMatchObject({ name: 'SnapshotFault' })
    }
  })

  it('that is written twice at once is one of the two, whole, and a later one replaces it', async () => {
    await rm(path)
    await Promise.all(['one', 'two'].map(id => writeExtension({ ...means, random }, extension(id))))
    const read = file()
    await read.refresh()
    expect(['one', 'two']).toContain(read.current?.id)
    await writeExtension({ ...means, random }, extension('three', NOW + 1))
    await utimes(path, 1, 1)
    await read.refresh()
    expect(read.current?.id).toBe('three')
  })
})

function headed(json: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(json.length)
  return Buffer.concat([Buffer.from('mintmark sealed file 1\n'), length, Buffer.from(json)])
}
