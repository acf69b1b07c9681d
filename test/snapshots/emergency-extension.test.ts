import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  ExtensionFile,
  LONGEST_EXTENSION_MS,
  writeExtension,
} from '../../src/snapshots/emergency-extension.ts'
import { writeSealed } from '../../src/snapshots/sealed-file.ts'
import { systemRandom as random } from '../../src/system/random.ts'
import { Secret } from '../../src/system/secret.ts'

const encryptionKeys = [{ id: 'e1', key: new Secret(randomBytes(32)) }]
const issuer = 'https://tokens.example.test'
const CREATED_AT = Date.UTC(2026, 10, 29, 12)
const SEVEN_DAYS_MS = 7 * 24 * 3_600_000

const extension = {
  id: 'ext_1',
  createdAt: CREATED_AT,
  until: CREATED_AT + SEVEN_DAYS_MS,
  reason: 'the disk is replaced',
  createdOn: 'host:1',
  issuer,
  from: { position: { number: '1', id: 'feed' }, seenAt: CREATED_AT },
}

let folder: string
let now = CREATED_AT
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mintmark-extension-'))
})
afterAll(() => rm(folder, { recursive: true }))

const reader = () => new ExtensionFile({ folder, issuer, encryptionKeys, now: () => now })
/** With the right encryption key, past the checks of the command. */
const sealed = (content: object, kind = 'emergency-extension') =>
  writeSealed(join(folder, 'emergency-extension'), { kind }, [Buffer.from(JSON.stringify(content))], {
    encryptionKeys,
    random,
  })

describe('the file of an extension', () => {
  it('is in effect for seven days at most, and not at their last millisecond', async () => {
    expect(LONGEST_EXTENSION_MS).toBe(SEVEN_DAYS_MS)
    await writeExtension({ folder, issuer, encryptionKeys, random }, extension)
    const file = reader()
    await file.refresh()
    now = extension.until - 1
    expect(file.current).toEqual(extension)
    now = extension.until
    expect([file.current, file.last]).toEqual([undefined, extension])
  })

  it.each<[string, object, string?]>([
    ['for a millisecond more than seven days', { ...extension, until: extension.until + 1 }],
    ['of another installation', { ...extension, issuer: 'https://other.example.test' }],
    ['of another kind, renamed', extension, 'snapshot'],
  ])('%s is rejected, and ends the one before it', async (_, content, kind) => {
    now = CREATED_AT
    await sealed(extension)
    const file = reader()
    await file.refresh()
    expect(file.current).toEqual(extension)
    await sealed(content, kind)
    await expect(file.refresh()).rejects.toThrow(`remove ${join(folder, 'emergency-extension')}`)
    expect([file.current, file.last]).toEqual([undefined, undefined])
  })
})
