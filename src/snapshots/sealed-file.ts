import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto'
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { checksOf, firstOf } from '../installation/installation-secrets.ts'
import { fileFault } from '../system/file-fault.ts'
import type { Random } from '../system/random.ts'
import type { NamedKey } from '../system/secret.ts'
import { SnapshotFault } from './snapshot-fault.ts'

/**
 * The form of a sealed file: a line of text, the header as JSON in the clear, and encrypted parts, each preceded by its
 * length. AES-256-GCM with a key for this file, derived (RFC 5869) from an encryption key, which the database never
 * holds, and a random salt. The nonce is the number of the part and whether it is the last, so that parts can neither be
 * reordered nor left out; the header is associated data of every part.
 */
const FORM = 'mintmark sealed file 1\n'
const TAG_BYTES = 16
const SALT_BYTES = 32
const LENGTH_BYTES = 4
/** More than any header or part that Mintmark writes. */
const LONGEST_PART_BYTES = 64 * 1024 * 1024
const LONGEST_HEADER_BYTES = 16 * 1024

/** What the header of every sealed file has. */
export interface SealedWith {
  /** The id of the encryption key, and a value that identifies the key without revealing it. */
  key: { id: string; check: string }
  salt: string
}

export interface SealedFile<Header> {
  header: Header & SealedWith
  /** Decrypts the parts one after another. @throws {SnapshotFault} */
  parts(): Generator<Buffer>
}

export interface FileSealing {
  encryptionKeys: readonly NamedKey[]
  random: Random
}

/**
 * Writes a sealed file whole or not at all: into a temporary file, which is flushed and renamed. Resolves to its size in
 * bytes. @throws the errors of the file system.
 */
export async function writeSealed(
  path: string,
  header: object,
  parts: Iterable<Buffer>,
  { encryptionKeys, random }: FileSealing,
): Promise<number> {
  const named = firstOf(encryptionKeys)
  const salt = random.bytes(SALT_BYTES)
  const sealedWith: SealedWith = { key: identityOf(named), salt: salt.toString('base64url') }
  const opening = opened(JSON.stringify({ ...header, ...sealedWith }))
  const key = fileKey(named, salt)
  const temporary = `${path}.${random.uuid()}.tmp`
  const file = await open(temporary, 'wx', 0o600)
  try {
    let size = await append(file, opening)
    let [number, held]: [number, Buffer | undefined] = [0, undefined]
    // The last part is known only when there is no further one.
    for (const part of parts) {
      if (held) size += await append(file, sealPart(key, opening, number++, false, held))
      held = part
    }
    size += await append(file, sealPart(key, opening, number, true, held ?? Buffer.alloc(0)))
    await file.sync()
    await file.close()
    await rename(temporary, path)
    await syncFolder(dirname(path))
    return size
  } catch (error) {
    await file.close().catch(() => {})
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
}

/**
 * The header of a sealed file, and its parts. The header is proven only by the first part. `keys` are those of this
 * process. @throws {SnapshotFault}
 */
export async function readSealed<Header>(
  path: string,
  encryptionKeys: readonly NamedKey[],
): Promise<SealedFile<Header>> {
  const bytes = await readFile(path).catch(unreadable)
  const header = headerIn<Header>(bytes)
  const named = keyOf(header, encryptionKeys)
  const end = headerEnd(bytes)
  return { header, parts: () => openParts(bytes, end, fileKey(named, Buffer.from(header.salt, 'base64url'))) }
}

/** Only the header, which nothing proves. @throws {SnapshotFault} */
export async function readHeader<Header>(path: string): Promise<Header & SealedWith> {
  const file = await open(path, 'r').catch(unreadable)
  try {
    const start = Buffer.alloc(FORM.length + LENGTH_BYTES + LONGEST_HEADER_BYTES)
    const { bytesRead } = await file.read(start, 0, start.length, 0).catch(unreadable)
    return headerIn<Header>(start.subarray(0, bytesRead))
  } finally {
    await file.close()
  }
}

/** @throws {SnapshotFault} for an error of the file system */
export function unreadable(error: unknown): never {
  throw new SnapshotFault('unreadable', `It cannot be read: ${fileFault(error) ?? 'unknown error'}.`)
}

/** The encryption key that a file was sealed with. @throws {SnapshotFault} */
export function keyOf({ key }: SealedWith, encryptionKeys: readonly NamedKey[]): NamedKey {
  const named = encryptionKeys.find(({ id }) => id === key.id)
  if (!named)
    throw new SnapshotFault(
      'lacking_key',
      `It is sealed with the encryption key "${key.id}", which MINTMARK_ENCRYPTION_KEYS lacks: add it to the list.`,
    )
  if (identityOf(named).check !== key.check)
    throw new SnapshotFault(
      'foreign',
      `It is sealed with another key than the "${key.id}" of MINTMARK_ENCRYPTION_KEYS, so it belongs to another installation: set MINTMARK_SNAPSHOT_DIR to the folder of this one.`,
    )
  return named
}

const identityOf = (named: NamedKey) => ({ id: named.id, check: checksOf([named])[named.id] as string })

const fileKey = ({ key }: NamedKey, salt: Buffer) =>
  Buffer.from(hkdfSync('sha256', key.reveal(), salt, 'mintmark sealed file', 32))

function opened(header: string): Buffer {
  const text = Buffer.from(header)
  return Buffer.concat([Buffer.from(FORM), lengthOf(text), text])
}

function lengthOf({ length }: Buffer): Buffer {
  const bytes = Buffer.alloc(LENGTH_BYTES)
  bytes.writeUInt32BE(length)
  return bytes
}

function nonceOf(number: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12)
  nonce.writeUInt32BE(number, 0)
  nonce.writeUInt8(last ? 1 : 0, 11)
  return nonce
}

function sealPart(key: Buffer, opening: Buffer, number: number, last: boolean, part: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number, last), { authTagLength: TAG_BYTES })
  cipher.setAAD(opening)
  const sealed = Buffer.concat([cipher.update(part), cipher.final(), cipher.getAuthTag()])
  return Buffer.concat([lengthOf(sealed), sealed])
}

const INCOMPLETE = 'It ends too early, as after an interrupted copy: remove it, or copy it again.'
export const CORRUPTED = 'It was changed or damaged: remove it, and check the volume.'

function headerEnd(bytes: Buffer): number {
  return FORM.length + LENGTH_BYTES + bytes.readUInt32BE(FORM.length)
}

function headerIn<Header>(bytes: Buffer): Header & SealedWith {
  const form = bytes.subarray(0, FORM.length).toString()
  if (form.length < FORM.length || bytes.length < FORM.length + LENGTH_BYTES) {
    throw FORM.startsWith(form)
      ? new SnapshotFault('incomplete', INCOMPLETE)
      : new SnapshotFault('corrupted', CORRUPTED)
  }
  if (form !== FORM) {
    throw form.startsWith('mintmark sealed file ')
      ? new SnapshotFault('version', 'Another version of Mintmark wrote it: start that version.')
      : new SnapshotFault('corrupted', CORRUPTED)
  }
  const end = headerEnd(bytes)
  if (end > FORM.length + LENGTH_BYTES + LONGEST_HEADER_BYTES) throw new SnapshotFault('corrupted', CORRUPTED)
  if (bytes.length < end) throw new SnapshotFault('incomplete', INCOMPLETE)
  try {
    const header = JSON.parse(bytes.subarray(FORM.length + LENGTH_BYTES, end).toString())
    const { key, salt } = header
    if ([key.id, key.check, salt].every(part => typeof part === 'string')) return header
  } catch {
    // Below.
  }
  throw new SnapshotFault('corrupted', CORRUPTED)
}

function* openParts(bytes: Buffer, start: number, key: Buffer): Generator<Buffer> {
  const opening = bytes.subarray(0, start)
  let from = start
  for (let number = 0; ; number++) {
    if (bytes.length < from + LENGTH_BYTES) throw new SnapshotFault('incomplete', INCOMPLETE)
    const length = bytes.readUInt32BE(from)
    if (length < TAG_BYTES || length > LONGEST_PART_BYTES) throw new SnapshotFault('corrupted', CORRUPTED)
    const end = from + LENGTH_BYTES + length
    if (bytes.length < end) throw new SnapshotFault('incomplete', INCOMPLETE)
    const sealed = bytes.subarray(from + LENGTH_BYTES, end)
    const whole = end === bytes.length
    const part = openPart(key, opening, number, whole, sealed)
    // A file that was cut between two parts ends with one that is not the last.
    if (!part && whole && openPart(key, opening, number, false, sealed))
      throw new SnapshotFault('incomplete', INCOMPLETE)
    if (!part) throw new SnapshotFault('corrupted', CORRUPTED)
    yield part
    if (whole) return
    from = end
  }
}

function openPart(
  key: Buffer,
  opening: Buffer,
  number: number,
  last: boolean,
  sealed: Buffer,
): Buffer | undefined {
  const tag = sealed.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(number, last), { authTagLength: TAG_BYTES })
  decipher.setAAD(opening)
  decipher.setAuthTag(sealed.subarray(tag))
  try {
    return Buffer.concat([decipher.update(sealed.subarray(0, tag)), decipher.final()])
  } catch {
    return undefined
  }
}

async function append(file: FileHandle, bytes: Buffer): Promise<number> {
  await file.writeFile(bytes)
  return bytes.length
}

/** So that the new name exists after a power failure. Not every file system can. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined)
  await folder?.sync().catch(() => {})
  await folder?.close()
}
