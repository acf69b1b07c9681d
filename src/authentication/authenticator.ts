import { parseCredential } from '../api-keys/api-key.ts'
import { clientName } from '../api-keys/imported/imported-client.ts'
import type { KeyDigests } from '../api-keys/key-digest.ts'
import { type Obstacle, obstacleTo } from '../api-keys/key-state.ts'
import { type Directory, isRevoked, type SecretSnapshot } from '../directory/directory.ts'
import { Busy } from '../errors.ts'
import type { FailureLimit } from '../system/failure-limit.ts'
import { type EffectiveRights, knownRights } from '../tenants/rights.ts'
import type { DeferredWrites } from './deferred-writes.ts'
import type { ImportedSecrets } from './imported-secrets.ts'
import type { LookupSecrets } from './lookup-secrets.ts'

/** A credential as it was presented. `clientId` may name the key or its tenant, and may be absent. */
export interface Credential {
  clientId: string | undefined
  secret: string
}

/** The owner of a credential, and what may be issued to it now. */
export interface Caller {
  keyId: string
  secretId: string
  tenantId: string
  keyEpoch: string
  tenantEpoch: string
  rights: EffectiveRights
  /** When the key or the secret ends, whichever is earlier, in epoch milliseconds; null: never. */
  endsAt: number | null
  /**
   * The instant of this exchange: rights are evaluated and tokens are issued as of it. Epoch milliseconds, database
   * time.
   */
  at: number
  /** The workload among those that share the key, for its tokens. */
  workload?: string
}

/** The caller gets the same response for all of these; the log has the reason. */
type InvalidReason =
  | 'malformed'
  | 'unknown'
  | 'client_mismatch'
  | 'wrong_secret'
  | Exclude<Obstacle, UnauthorizedReason>
/** The credential is valid, so the response names the reason. */
type UnauthorizedReason = 'tenant_suspended' | 'key_disabled'

export type Authentication = { ok: true; caller: Caller } | AuthFailure
/** `isUnproven`: the caller named the key, and its secret was not compared. */
export type AuthFailure = { ok: false; keyId?: string; isUnproven?: true } & (
  | { kind: 'invalid'; reason: InvalidReason }
  | { kind: 'unauthorized'; reason: UnauthorizedReason; keyId: string }
  /** Too many unknown keys came from the same address: this one was not looked up. */
  | { kind: 'rate_limited'; reason: 'too_many_failures'; retryAfterSeconds: number }
)

/** Finds the owner of a presented API key. A failed authentication is a value; only an internal fault is thrown. */
export class Authenticator {
  readonly #digests: KeyDigests
  readonly #directory: Directory
  readonly #failures: FailureLimit
  readonly #imported: ImportedSecrets
  readonly #lookups: LookupSecrets
  readonly #deferred: DeferredWrites
  readonly #now: () => number

  /** `now` is the database time in epoch milliseconds. */
  constructor(options: {
    digests: KeyDigests
    directory: Directory
    failures: FailureLimit
    imported: ImportedSecrets
    lookups: LookupSecrets
    deferred: DeferredWrites
    now: () => number
  }) {
    this.#digests = options.digests
    this.#directory = options.directory
    this.#failures = options.failures
    this.#imported = options.imported
    this.#lookups = options.lookups
    this.#deferred = options.deferred
    this.#now = options.now
  }

  /**
   * `source` is the address of the caller.
   * @throws {Unavailable} when the database does not answer and memory does not know the key.
   */
  async authenticate(credential: Credential, source: string | undefined): Promise<Authentication> {
    const parts = parseCredential(credential.secret)
    if (!parts) return this.#authenticateForeign(credential, source)
    if (parts.prefix !== 'mmk') return invalid('malformed')
    const names = this.#digests.names(credential.secret)
    const found = this.#directory.find(names) ?? (await this.#lookUp(names, source))
    if (found && 'ok' in found) return found
    const now = this.#now()
    const answer = found ? evaluate(found, credential.clientId, now) : invalid('unknown', `key_${parts.id}`)
    this.#note(answer, found, now, names[0])
    return answer
  }

  /**
   * What `authenticate` would answer to an API key, for an administrator: nothing is counted or noted.
   * @throws {Unavailable} as above
   */
  async explain(secret: string): Promise<Authentication> {
    const parts = parseCredential(secret)
    if (parts?.prefix !== 'mmk') {
      const imported = await this.#lookups.find(secret)
      return imported ? evaluate(imported, undefined, this.#now()) : invalid('malformed')
    }
    const names = this.#digests.names(secret)
    const found = this.#directory.find(names) ?? (await this.#directory.lookUp(names))
    return found ? evaluate(found, undefined, this.#now()) : invalid('unknown', `key_${parts.id}`)
  }

  /** A secret that is not a Mintmark key may be an imported one, found by itself or by its client_id. */
  async #authenticateForeign(
    { clientId, secret }: Credential,
    source: string | undefined,
  ): Promise<Authentication> {
    const found = await this.#lookups.use(secret)
    if (found) {
      const now = this.#now()
      const isItsOwn = clientId !== undefined && clientName(clientId) === found.secretDigest
      const answer = evaluate(found, isItsOwn ? undefined : clientId, now)
      this.#note(answer, found, now)
      return answer
    }
    if (clientId !== undefined) return this.#authenticateImported(clientId, secret, source)
    return this.#refuseForeign(secret, source)
  }

  async #refuseForeign(secret: string, source: string | undefined): Promise<AuthFailure> {
    const refused = await this.#lookups.refuse(secret, source)
    if (refused.kind === 'rate_limited') return rateLimited(refused.retryAfterSeconds)
    return invalid(refused.kind)
  }

  async #authenticateImported(
    clientId: string,
    secret: string,
    source: string | undefined,
  ): Promise<Authentication> {
    const checked = await this.#imported.check(clientId, secret, source)
    if (checked.kind === 'malformed') return this.#refuseForeign(secret, source)
    if (checked.kind === 'unknown') return invalid('malformed')
    if (checked.kind === 'rate_limited') return rateLimited(checked.retryAfterSeconds)
    const { kind, found } = checked
    const now = this.#now()
    const answer = kind === 'wrong' ? invalid('wrong_secret', found.keyId) : evaluate(found, undefined, now)
    this.#note(answer, found, now)
    return answer.ok || kind === 'correct' ? answer : { ...answer, isUnproven: true }
  }

  /**
   * An unknown key counts as a failure of its source, also when the lookup was refused because too many wait. A known
   * one never does unless it is revoked, and a fault of the database does not.
   */
  async #lookUp(
    names: readonly string[],
    source: string | undefined,
  ): Promise<SecretSnapshot | AuthFailure | undefined> {
    if (this.#directory.knows(names)) return this.#directory.lookUp(names)
    const allowance = await this.#failures.take(source)
    if (!allowance.granted) return rateLimited(allowance.retryAfterSeconds)
    const found = await this.#directory.lookUp(names).catch(fault => {
      if (!(fault instanceof Busy)) allowance.giveBack()
      throw fault
    })
    if (found && !isRevoked(found)) allowance.giveBack()
    return found
  }

  /** `stored` is the digest that the secret should be stored under. */
  #note(answer: Authentication, found: SecretSnapshot | undefined, now: number, stored?: string): void {
    if (!answer.ok) {
      const { keyId, reason } = answer
      // Ids that do not exist are guesses and are not counted.
      if (keyId && (found || this.#directory.knowsKey(keyId))) this.#deferred.count(keyId, reason, now)
    } else if (found) {
      this.#deferred.used(found.secretId, now)
      if (stored !== undefined && found.secretDigest !== stored)
        this.#deferred.redigest(found.secretId, found.secretDigest, stored)
    }
  }
}

/** Evaluates a stored secret for the client that presents it. `now` in epoch milliseconds. */
export function evaluate(found: SecretSnapshot, clientId: string | undefined, now: number): Authentication {
  const { keyId } = found
  if (clientId !== undefined && clientId !== keyId && clientId !== found.tenantId)
    return invalid('client_mismatch', keyId)
  const secret = { revoked: found.secretRevoked, endsAt: found.secretEndsAt }
  const key = { revoked: found.keyRevoked, endsAt: found.keyExpiresAt, disabled: found.keyDisabled }
  const obstacle = obstacleTo(secret, key, { suspended: found.tenantSuspended }, now)
  if (obstacle === 'tenant_suspended' || obstacle === 'key_disabled')
    return { ok: false, kind: 'unauthorized', reason: obstacle, keyId }
  if (obstacle) return invalid(obstacle, keyId)
  const ends = [key.endsAt, secret.endsAt].filter(end => end !== null)
  return {
    ok: true,
    caller: {
      keyId,
      secretId: found.secretId,
      tenantId: found.tenantId,
      keyEpoch: found.keyEpoch,
      tenantEpoch: found.tenantEpoch,
      rights: knownRights(found.tenantRights, found.keyRights, found.catalogue),
      endsAt: ends.length === 0 ? null : Math.min(...ends),
      at: now,
    },
  }
}

const rateLimited = (retryAfterSeconds: number): AuthFailure => ({
  ok: false,
  kind: 'rate_limited',
  reason: 'too_many_failures',
  retryAfterSeconds,
})

function invalid(reason: InvalidReason, keyId?: string): AuthFailure {
  return { ok: false, kind: 'invalid', reason, ...(keyId !== undefined && { keyId }) }
}
