import { crc32 } from 'node:zlib'
import { versionOf } from '../database/version.ts'
import type { Random } from '../system/random.ts'
import type { ImportedScheme } from './imported/imported-hash.ts'
import type { ApiKeySettings } from './key-settings.ts'

/**
 * api-keys/ holds the long-lived keys that clients present: their format, digests, settings (key-settings.ts) and state
 * (key-state.ts), and the operations on stored ones.
 */

export interface ApiKey extends ApiKeySettings {
  /** `key_` and 16 characters: the OAuth client_id and the token's `sub`; rotation does not change it. */
  id: string
  tenantId: string
  disabledAt: Date | null
  revokedAt: Date | null
  revokedReason: string | null
  /** `root`, or the id of the admin token that made it; null: not known. */
  createdBy: string | null
  createdAt: Date
  updatedAt: Date
  /** Newest first. */
  secrets: readonly ApiKeySecret[]
}

/** One of up to two live secrets of a key. The secret itself is not stored. */
export interface ApiKeySecret {
  id: string
  /** As `ApiKey.createdBy`: of a rotation, who rotated. */
  createdBy: string | null
  createdAt: Date
  endsAt: Date | null
  revokedAt: Date | null
  lastUsedAt: Date | null
  /** Of a rotation that waits: until then the secret is confirmed or used, or it is revoked. */
  confirmBy: Date | null
  /** null: a Mintmark secret; otherwise an imported one, with its client_id. */
  imported: { clientId: string; scheme: ImportedScheme } | null
}

/**
 * Independent of the last use: no update fails because a key was exchanged in between. Who made it never changes, and may
 * become known later.
 */
export function keyVersion({ createdBy: _maker, ...key }: ApiKey): string {
  const secrets = key.secrets.map(({ lastUsedAt: _use, createdBy: _by, confirmBy, ...secret }) =>
    // Absent for most, so that versions of keys are as they were before there were rotations that wait.
    confirmBy ? { ...secret, confirmBy } : secret,
  )
  return versionOf({ ...key, secrets })
}

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const ID_LENGTH = 16
const SECRET_LENGTH = 43
const CRC_LENGTH = 6

/**
 * `\bmmk_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}\b` finds keys in text; `mma_` are admin tokens, `mmi_` introspection tokens,
 * `mmr_` usage reporters.
 */
const CREDENTIAL = /^(mmk|mma|mmi|mmr)_([0-9A-Za-z]{16})_[0-9A-Za-z]{49}$/

export type CredentialPrefix = 'mmk' | 'mma' | 'mmi' | 'mmr'

/** The parts of a presented credential, known without a lookup. */
export interface CredentialParts {
  prefix: CredentialPrefix
  /** 16 characters; the record's id is `key_` and this. */
  id: string
}

export const randomId = (random: Random): string => base62(random.bytes(12), ID_LENGTH)

/**
 * `mmk_<id>_<secret><crc>`: 256 random bits, and a CRC-32 over everything before it, which detects typing errors
 * offline.
 */
export function formatCredential(prefix: CredentialPrefix, id: string, random: Random): string {
  const body = `${prefix}_${id}_${base62(random.bytes(32), SECRET_LENGTH)}`
  return body + checksum(body)
}

/**
 * `undefined` for a credential that we cannot have issued: its format or checksum is wrong. Needs no hash and no query.
 */
export function parseCredential(presented: string): CredentialParts | undefined {
  const [, prefix, id] = CREDENTIAL.exec(presented) ?? []
  if (!prefix || !id) return undefined
  const body = presented.slice(0, -CRC_LENGTH)
  return presented.endsWith(checksum(body)) ? { prefix: prefix as CredentialPrefix, id } : undefined
}

function checksum(body: string): string {
  let rest = crc32(body)
  let text = ''
  for (let digit = 0; digit < CRC_LENGTH; digit++) {
    text = ALPHABET[rest % 62] + text
    rest = Math.floor(rest / 62)
  }
  return text
}

/** Big-endian bytes in base 62, most significant digit first, left-padded with `0`, cut to the last `length` digits. */
function base62(bytes: Buffer, length: number): string {
  let value = BigInt(`0x${bytes.toString('hex')}`)
  let text = ''
  for (let digit = 0; digit < length; digit++) {
    text = ALPHABET[Number(value % 62n)] + text
    value /= 62n
  }
  return text
}
