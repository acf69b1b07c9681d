import { calculateJwkThumbprint } from 'jose'
import type { SigningAlg } from '../config/signing-alg.ts'
import type { RecordedIds, RowFault, RowSeals, SealedKind, SealedValue } from '../installation/row-seals.ts'
import { type PublicJwk, publicJwk, type SigningKey } from './signing-key.ts'

const COLUMNS = [
  'kid',
  'alg',
  'state',
  'public_jwk',
  'private_encrypted',
  'encryption_key_id',
  'published_at',
  'activates_at',
  'retires_at',
  'forgets_at',
  'removed_at',
  'revoked_at',
  'revoked_reason',
  'held',
] as const

/** A signing key: to write one that is published is to sign tokens for every tenant. */
export const SIGNING_KEY: SealedKind<(typeof COLUMNS)[number]> = {
  kind: 'signing_key',
  table: 'signing_keys',
  columns: COLUMNS,
  harmless: {
    sealed_with: 'part of the seal: it selects the key, and is covered by its MAC',
    seal: 'the MAC itself',
  },
}

/** A row as it is stored, genuine or not. */
export interface SigningKeyRow {
  kid: string
  alg: SigningAlg
  state: SigningKey['state']
  public_jwk: PublicJwk
  private_encrypted: Buffer | null
  encryption_key_id: string | null
  published_at: Date
  activates_at: Date | null
  retires_at: Date | null
  forgets_at: Date | null
  removed_at: Date | null
  revoked_at: Date | null
  revoked_reason: string | null
  held: boolean
  sealed_with: string | null
  seal: Buffer | null
}

/** What the seal covers. */
export function sealedValues(row: Omit<SigningKeyRow, 'sealed_with' | 'seal'>) {
  return {
    kid: row.kid,
    alg: row.alg,
    state: row.state,
    public_jwk: canonicalJwk(row.public_jwk),
    private_encrypted: row.private_encrypted,
    encryption_key_id: row.encryption_key_id,
    published_at: epochMs(row.published_at),
    activates_at: epochMs(row.activates_at),
    retires_at: epochMs(row.retires_at),
    forgets_at: epochMs(row.forgets_at),
    removed_at: epochMs(row.removed_at),
    revoked_at: epochMs(row.revoked_at),
    revoked_reason: row.revoked_reason,
    held: row.held,
  } satisfies Record<(typeof COLUMNS)[number], SealedValue>
}

/** Undefined: the row is genuine. */
export async function signingKeyFault(
  row: SigningKeyRow,
  seals: RowSeals,
  recorded: RecordedIds,
): Promise<RowFault | undefined> {
  const stored = { sealedWith: row.sealed_with, seal: row.seal }
  const fault = seals.faultOf(SIGNING_KEY, sealedValues(row), stored, recorded)
  if (fault) return fault
  if (!(await hasValidKid(row))) return 'wrong_key_pair'
  return seals.isRevokedKid(row.kid) ? 'revoked' : undefined
}

/** Whether the kid is the RFC 7638 thumbprint of the public key, which has the members of a public key and no other. */
export async function hasValidKid({ kid, alg, public_jwk: jwk }: SigningKeyRow): Promise<boolean> {
  try {
    const expected = canonicalJwk(publicJwk(jwk, alg, kid))
    return (await calculateJwkThumbprint(jwk, 'sha256')) === kid && canonicalJwk(jwk) === expected
  } catch {
    // It is not a JWK.
    return false
  }
}

/** The members in the order of their names; also for JSON that is not a JWK. */
const canonicalJwk = (jwk: unknown): string =>
  JSON.stringify(
    typeof jwk === 'object' && jwk !== null ? Object.entries(jwk).sort(([a], [b]) => (a < b ? -1 : 1)) : jwk,
  )

/** Of a row that is not genuine, pg returns a number for an infinite instant. */
const epochMs = (instant: Date | number | null): number | null => (instant === null ? null : Number(instant))
