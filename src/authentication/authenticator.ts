import { parseCredential } from '../api-keys/api-key.ts'
import type { KeyDigests } from '../api-keys/key-digest.ts'
import { type Obstacle, obstacleTo } from '../api-keys/key-state.ts'
import { type Directory, isRevoked, type SecretSnapshot } from '../directory/directory.ts'
import type { FailureLimit } from '../system/failure-limit.ts'
import { type EffectiveRights, knownRights } from '../tenants/rights.ts'
import type { DeferredWrites } from './deferred-writes.ts'
import type { ImportedSecrets } from './imported-secrets.ts'

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
type Unauthentic = 'malformed' | 'unknown' | 'client_mismatch' | 'wrong_secret' | Exclude<Obstacle, Barred>
/** The credential is right, so its owner is told. */
type Barred = 'tenant_suspended' | 'key_disabled'

export type Authentication = { ok: true; caller: Caller } | Refusal
export type Refusal = { ok: false; keyId?: string } & (
  | { kind: 'unauthentic'; reason: Unauthentic }
  | { kind: 'barred'; reason: Barred; keyId: string }
  /** Too many keys that nobody has came from the same address: this one was not looked up. */
  | { kind: 'limited'; reason: 'too_many_failures'; retryAfterSeconds: number }
)

/** Answers whose a presented API key is. A refusal is a value; only a fault of ours is thrown. */
export class Authenticator {
  readonly #digests: KeyDigests
  readonly #directory: Directory
  readonly #failures: FailureLimit
  readonly #imported: ImportedSecrets
  readonly #deferred: DeferredWrites
  readonly #now: () => number

  /** `now` is the database's time in epoch milliseconds. */
  constructor(options: {
    digests: KeyDigests
    directory: Directory
    failures: FailureLimit
    imported: ImportedSecrets
    deferred: DeferredWrites
    now: () => number
  }) {
    this.#digests = options.digests
    this.#directory = options.directory
    this.#failures = options.failures
    this.#imported = options.imported
    this.#deferred = options.deferred
    this.#now = options.now
  }

  /**
   * `source` is the address of the caller.
   * @throws {Unavailable} when it cannot be told whether the key is known.
   */
  async authenticate(credential: Credential, source: string | undefined): Promise<Authentication> {
    const parts = parseCredential(credential.secret)
    if (!parts && credential.clientId !== undefined)
      return this.#authenticateImported(credential.clientId, credential.secret, source)
    if (parts?.prefix !== 'mmk') return unauthentic('malformed')
    const names = this.#digests.names(credential.secret)
    const found = this.#directory.find(names) ?? (await this.#lookUp(names, source))
    if (found && 'ok' in found) return found
    const now = this.#now()
    const answer = found ? assess(found, credential.clientId, now) : unauthentic('unknown', `key_${parts.id}`)
    this.#note(answer, found, now, names[0])
    return answer
  }

  /** A secret that has not our form may be one of another system, by the client_id of that system. */
  async #authenticateImported(
    clientId: string,
    secret: string,
    source: string | undefined,
  ): Promise<Authentication> {
    const checked = await this.#imported.check(clientId, secret, source)
    if (checked.kind === 'unknown') return unauthentic('malformed')
    if (checked.kind === 'limited') return limited(checked.retryAfterSeconds)
    const { kind, found } = checked
    const now = this.#now()
    const answer = kind === 'wrong' ? unauthentic('wrong_secret', found.keyId) : assess(found, undefined, now)
    this.#note(answer, found, now)
    return answer
  }

  /** A key that nobody has costs its source a failure; one that is known, or turns out to be, never does. */
  async #lookUp(
    names: readonly string[],
    source: string | undefined,
  ): Promise<SecretSnapshot | Refusal | undefined> {
    if (this.#directory.knows(names)) return this.#directory.lookUp(names)
    const allowance = await this.#failures.take(source)
    if (!allowance.granted) return limited(allowance.retryAfterSeconds)
    const found = await this.#directory.lookUp(names).catch(fault => {
      allowance.giveBack()
      throw fault
    })
    if (found && !isRevoked(found)) allowance.giveBack()
    return found
  }

  /** `stored` is the name that the secret should be stored under. */
  #note(answer: Authentication, found: SecretSnapshot | undefined, now: number, stored?: string): void {
    if (!answer.ok) {
      const { keyId, reason } = answer
      // Whoever guesses names ids that nobody has: those are not kept.
      if (keyId && (found || this.#directory.knowsKey(keyId))) this.#deferred.count(keyId, reason, now)
    } else if (found) {
      this.#deferred.used(found.secretId, now)
      if (stored !== undefined && found.secretDigest !== stored)
        this.#deferred.redigest(found.secretId, found.secretDigest, stored)
    }
  }
}

/** What is known of a secret, held against who it is presented for and when. `now` in epoch milliseconds. */
export function assess(found: SecretSnapshot, clientId: string | undefined, now: number): Authentication {
  const { keyId } = found
  if (clientId !== undefined && clientId !== keyId && clientId !== found.tenantId)
    return unauthentic('client_mismatch', keyId)
  const secret = { revoked: found.secretRevoked, endsAt: found.secretEndsAt }
  const key = { revoked: found.keyRevoked, endsAt: found.keyExpiresAt, disabled: found.keyDisabled }
  const obstacle = obstacleTo(secret, key, { suspended: found.tenantSuspended }, now)
  if (obstacle === 'tenant_suspended' || obstacle === 'key_disabled')
    return { ok: false, kind: 'barred', reason: obstacle, keyId }
  if (obstacle) return unauthentic(obstacle, keyId)
  const ends = [key.endsAt, secret.endsAt].filter(end => end !== null)
  return {
    ok: true,
    caller: {
      keyId,
      secretId: found.secretId,
      tenantId: found.tenantId,
      rights: knownRights(found.tenantRights, found.keyRights, found.catalogue),
      endsAt: ends.length === 0 ? null : Math.min(...ends),
      at: now,
    },
  }
}

const limited = (retryAfterSeconds: number): Refusal => ({
  ok: false,
  kind: 'limited',
  reason: 'too_many_failures',
  retryAfterSeconds,
})

function unauthentic(reason: Unauthentic, keyId?: string): Refusal {
  return { ok: false, kind: 'unauthentic', reason, ...(keyId !== undefined && { keyId }) }
}
