import { type EffectiveRights, effectiveRights } from '../tenants/rights.ts'
import { parseCredential } from './api-key.ts'
import type { Directory, SecretSnapshot } from './directory.ts'
import type { KeyDigests } from './key-digest.ts'

/** A credential as it was presented. `clientId` may name the key or its tenant, and may be absent. */
export interface Credential {
  clientId: string | undefined
  secret: string
}

/** Whom a credential was found to belong to, and what may be issued to it now. */
export interface Caller {
  keyId: string
  secretId: string
  tenantId: string
  rights: EffectiveRights
  /** When the key or the secret ends, whichever is earlier, in epoch milliseconds; null: never. */
  endsAt: number | null
  /** The one instant of this exchange: what was judged then is issued as of then. Epoch milliseconds, database time. */
  at: number
}

/** Nobody is told which it was; the log is. */
type Unauthentic =
  | 'malformed'
  | 'unknown'
  | 'client_mismatch'
  | 'secret_revoked'
  | 'secret_ended'
  | 'key_revoked'
  | 'key_expired'
/** The credential is right, so its owner is told. */
type Barred = 'tenant_suspended' | 'key_disabled'

export type Authentication =
  | { ok: true; caller: Caller }
  | { ok: false; barred: false; reason: Unauthentic; keyId?: string }
  | { ok: false; barred: true; reason: Barred; keyId: string }

/** With less than this left there is no whole second to issue a token for. */
const SHORTEST_REST_MS = 1000

/** Answers whose a presented API key is. A refusal is a value; only a fault of ours is thrown. */
export class Authenticator {
  readonly #digests: KeyDigests
  readonly #directory: Directory
  readonly #now: () => number

  /** `now` is the database's time in epoch milliseconds. */
  constructor(options: { digests: KeyDigests; directory: Directory; now: () => number }) {
    this.#digests = options.digests
    this.#directory = options.directory
    this.#now = options.now
  }

  /** @throws {Unavailable} when it cannot be told whether the key is known. */
  async authenticate(credential: Credential): Promise<Authentication> {
    const parts = parseCredential(credential.secret)
    if (parts?.prefix !== 'mmk') return unauthentic('malformed')
    const found = await this.#directory.find(this.#digests.forFinding(credential.secret))
    return found ? judge(found, credential.clientId, this.#now()) : unauthentic('unknown', `key_${parts.id}`)
  }
}

/** What is known of a secret, held against who it is presented for and when. `now` in epoch milliseconds. */
export function judge(found: SecretSnapshot, clientId: string | undefined, now: number): Authentication {
  const { keyId } = found
  const over = (end: number | null) => end !== null && end - now < SHORTEST_REST_MS
  if (clientId !== undefined && clientId !== keyId && clientId !== found.tenantId)
    return unauthentic('client_mismatch', keyId)
  if (found.keyRevoked) return unauthentic('key_revoked', keyId)
  if (found.secretRevoked) return unauthentic('secret_revoked', keyId)
  if (over(found.keyExpiresAt)) return unauthentic('key_expired', keyId)
  if (over(found.secretEndsAt)) return unauthentic('secret_ended', keyId)
  if (found.tenantSuspended) return { ok: false, barred: true, reason: 'tenant_suspended', keyId }
  if (found.keyDisabled) return { ok: false, barred: true, reason: 'key_disabled', keyId }
  const ends = [found.keyExpiresAt, found.secretEndsAt].filter(end => end !== null)
  return {
    ok: true,
    caller: {
      keyId,
      secretId: found.secretId,
      tenantId: found.tenantId,
      rights: effectiveRights(found.tenantRights, found.keyRights, found.catalogue),
      endsAt: ends.length === 0 ? null : Math.min(...ends),
      at: now,
    },
  }
}

function unauthentic(reason: Unauthentic, keyId?: string): Authentication {
  return { ok: false, barred: false, reason, ...(keyId !== undefined && { keyId }) }
}
