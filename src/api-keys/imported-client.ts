/**
 * A client that another system made: it goes on using the client_id and the secret that it has, of which we were given
 * a hash. It is an API key like any other, with a secret of another kind. docs/guides/import.md
 */

export interface ImportedHash {
  scheme: 'bcrypt' | 'sha256'
  /** bcrypt: 60 characters, `$2b$…`; sha256: 64 hex digits. */
  hash: string
}

/** What is known of imported clients as a whole. */
export interface Imports {
  /** The cost that most bcrypt hashes have; null when none is one. */
  commonCost: number | null
}

/** RFC 6749 Appendix A.1, without the space. */
export const IMPORTED_CLIENT_ID = /^[!-~]{1,128}$/

/** More would hold a slot for seconds, and with it whoever waits. */
const HIGHEST_COST = 14
/** The salt's last character holds four bits that mean something. */
const BCRYPT = /^\$2([aby])\$(\d\d)\$([./A-Za-z0-9]{21}[.Oeu])([./A-Za-z0-9]{31})$/

/** The hash in the one form that we store, or what is wrong with it, to complete "<field> …". */
export function parseHash(scheme: ImportedHash['scheme'], given: string): ImportedHash | { fault: string } {
  return scheme === 'bcrypt' ? parseBcrypt(given) : parseSha256(given)
}

function parseBcrypt(given: string): ImportedHash | { fault: string } {
  const [, , cost] = BCRYPT.exec(given) ?? []
  if (cost === undefined) return { fault: 'must be a bcrypt hash: $2a$, $2b$ or $2y$, and 60 characters' }
  if (Number(cost) < 4 || Number(cost) > HIGHEST_COST)
    return { fault: `must have a bcrypt cost from 4 to ${HIGHEST_COST}: give this client a new key instead` }
  // The three letters name one algorithm, of which our library knows two.
  return { scheme: 'bcrypt', hash: given.replace(/^\$2y\$/, '$2b$') }
}

function parseSha256(given: string): ImportedHash | { fault: string } {
  if (/^[0-9A-Fa-f]{64}$/.test(given)) return { scheme: 'sha256', hash: given.toLowerCase() }
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(given)) {
    const bytes = Buffer.from(given, 'base64')
    if (bytes.length === 32) return { scheme: 'sha256', hash: bytes.toString('hex') }
  }
  return { fault: 'must be a SHA-256: 64 hex digits, or base64 of 32 bytes' }
}

/** null: the hash is not a slow one. */
export function bcryptCost({ scheme, hash }: ImportedHash): number | null {
  return scheme === 'bcrypt' ? Number(hash.slice(4, 6)) : null
}

const PREFIX = 'client:'

/** What the directory knows an imported client by; no digest looks like it. */
export const clientName = (clientId: string): string => PREFIX + clientId
export const isClientName = (name: string): boolean => name.startsWith(PREFIX)
export const clientIdOf = (name: string): string => name.slice(PREFIX.length)
