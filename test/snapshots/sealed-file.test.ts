import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readHeader, readSealed, writeSealed } from '../../src/snapshots/sealed-file.ts'
import { systemRandom as random } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'

const encryptionKeys = [{ id: 'e1', key: new Secret(randomBytes(32)) }]
const FORM = 'mintmark sealed file 1\n'

let folder: string
let path: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-sealed-'))
  path = join(folder, 'file')
})
afterAll(() => rm(folder, { recursive: true }))

/** A file that announces a header of this length, and ends there. */
function announced(length: number): Promise<void> {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(length)
  return writeFile(path, Buffer.concat([Buffer.from(FORM), bytes]))
}

describe('a sealed file', () => {
  it('returns its header and its parts in order', async () => {
    const parts = ['one', 'two', 'three'].map(text => Buffer.from(text))
    await writeSealed(path, { made: 'now' }, parts, { encryptionKeys, random })
    expect((await stat(path)).mode & 0o777, 'no other user can read it').toBe(0o600)
    expect(await readHeader(path)).toMatchObject({ made: 'now', key: { id: 'e1' } })
    const { header, parts: read } = await readSealed(path, encryptionKeys)
    expect(header).toMatchObject({ made: 'now' })
    expect([...read()].map(String)).toEqual(['one', 'two', 'three'])
  })

  it.each([
    ['incomplete', 16_384],
    ['corrupted', 16_385],
    ['corrupted', 4_294_967_295],
  ])('is %s when it announces a header of %d bytes and ends', async (kind, length) => {
    await announced(length)
    await expect(readHeader(path)).rejects.toMatchObject({ name: 'SnapshotFault', kind })
    await expect(readSealed(path, encryptionKeys)).rejects.toMatchObject({ name: 'SnapshotFault', kind })
  })

  it.each([
    ['corrupted', 15],
    ['incomplete', 16],
    ['incomplete', 67_108_864],
    ['corrupted', 67_108_865],
  ])('is %s when it announces a part of %d bytes and ends', async (kind, length) => {
    await writeSealed(path, {}, [], { encryptionKeys, random })
    const opening = (await readFile(path)).subarray(0, -(4 + 16))
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(length)
    await writeFile(path, Buffer.concat([opening, bytes]))
    const { parts } = await readSealed(path, encryptionKeys)
    expect(() => [...parts()]).toThrow(expect.objectContaining({ name: 'SnapshotFault', kind }))
  })
})
