import { createHash, timingSafeEqual } from 'node:crypto'
import bcrypt from 'bcrypt'

/** `sha256-lookup`: the secret may be presented without its client_id (lookup-secret.ts). */
export type ImportedScheme = 'bcrypt' | 'sha256' | 'sha256-lookup'

export interface ImportedHash {
  scheme: ImportedScheme
  /** bcrypt: 60 characters, `$2b$…`; otherwise 64 hex digits. */
  hash: string
}

/** A higher cost would occupy a slot for seconds and delay all queued requests. */
const HIGHEST_COST = 14
/** Only four bits of the salt's last character are used. */
const BCRYPT = /^\$2([aby])\$(\d\d)\$([./A-Za-z0-9]{21}[.Oeu])([./A-Za-z0-9]{31})$/

/** The hash in its canonical form, or what is wrong with it, to complete "<field> …". */
export function parseHash(scheme: ImportedScheme, given: string): ImportedHash | { fault: string } {
  return scheme === 'bcrypt' ? parseBcrypt(given) : parseSha256(scheme, given)
}

function parseBcrypt(given: string): ImportedHash | { fault: string } {
  const [, , cost] = BCRYPT.exec(given) ?? []
  if (cost === undefined) return { fault: 'must be a bcrypt hash: $2a$, $2b$ or $2y$, and 60 characters' }
  if (Number(cost) < 4 || Number(cost) > HIGHEST_COST)
    return {
      fault: `must have a bcrypt cost from 4 to ${HIGHEST_COST}: create a new key for this client instead`,
    }
  // The three letters name one algorithm, of which our library knows two.
  return { scheme: 'bcrypt', hash: given.replace(/^\$2y\$/, '$2b$') }
}

function parseSha256(scheme: 'sha256' | 'sha256-lookup', given: string): ImportedHash | { fault: string } {
  if (/^[0-9A-Fa-f]{64}$/.test(given)) return { scheme, hash: given.toLowerCase() }
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(given)) {
    const bytes = Buffer.from(given, 'base64')
    if (bytes.length === 32) return { scheme, hash: bytes.toString('hex') }
  }
  return { fault: 'must be a SHA-256 hash: 64 hex digits, or base64 of 32 bytes' }
}

/** null: the hash is fast. */
export function bcryptCost({ scheme, hash }: ImportedHash): number | null {
  return scheme === 'bcrypt' ? Number(hash.slice(4, 6)) : null
}

/** bcrypt ignores further bytes, so a longer secret would be no stronger than its beginning. */
const LONGEST_BCRYPT_BYTES = 72
/** A salt and hash without a known secret: comparing with it takes as long as a real comparison. */
const DUMMY_SALT_AND_HASH = `${'a'.repeat(21)}u${'a'.repeat(31)}`

/**
 * Whether the secret has this bcrypt hash. Compared on a thread of Node's pool: 100 ms of CPU at cost 10. Secrets that
 * bcrypt truncates (over 72 bytes, or with a NUL) are compared as well and never match.
 */
export async function matchesBcrypt(secret: string, hash: string): Promise<boolean> {
  const usable = Buffer.byteLength(secret) <= LONGEST_BCRYPT_BYTES && !secret.includes('\0')
  return (await bcrypt.compare(secret, hash)) && usable
}

/** Whether the SHA-256 of the secret is `hash` (hex), compared in constant time. */
export const matchesSha256 = (secret: string, hash: string): boolean =>
  timingSafeEqual(createHash('sha256').update(secret).digest(), Buffer.from(hash, 'hex'))

/** The SHA-256 of the secret, in hex. */
export const sha256Of = (secret: string): string => createHash('sha256').update(secret).digest('hex')

/** A bcrypt hash of this cost that no secret matches. */
export const dummyBcryptHash = (cost: number): string =>
  `$2b$${String(cost).padStart(2, '0')}$${DUMMY_SALT_AND_HASH}`
