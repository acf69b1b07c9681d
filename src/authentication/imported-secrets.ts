import { createHmac } from 'node:crypto'
import { IMPORTED_CLIENT_ID } from '../api-keys/imported/imported-client.ts'
import { matchesSha256 } from '../api-keys/imported/imported-hash.ts'
import type { SecretProof, SecretProofs } from '../api-keys/imported/secret-proof.ts'
import { type Directory, isRevoked, type SecretSnapshot } from '../directory/directory.ts'
import { Busy } from '../errors.ts'
import type { Clock } from '../system/clock.ts'
import type { FailureLimit } from '../system/failure-limit.ts'
import { routedNetworkOf } from '../system/ip-address.ts'
import type { Random } from '../system/random.ts'
import type { Attempt, Comparisons, PlaceInLine } from './comparisons.ts'

/** Result of checking an imported client_id and secret. */
export type CheckedSecret =
  | { kind: 'correct' | 'wrong' | 'revoked'; found: SecretSnapshot }
  | { kind: 'unknown' }
  /** There can be no such client: nothing was checked or counted. */
  | { kind: 'malformed' }
  | { kind: 'rate_limited'; retryAfterSeconds: number }

/** Called for a secret that matched its imported hash: `proof` replaces the next comparison. */
export type NoteProof = (found: SecretSnapshot, hash: string, proof: SecretProof) => void

/**
 * Longer than a lookup in Postgres takes; otherwise timing would reveal unknown clients of schemes that are fast to
 * compare.
 */
const REFUSED_AFTER_MS = 50
/** Longer than most comparisons take; otherwise an early 503 would reveal that there was nothing to compare. */
const BUSY_AFTER_MS = 1_000

/**
 * Checks secrets that were imported as hashes. A bcrypt comparison costs 100 ms of CPU or more, so it runs in a bounded
 * line (comparisons.ts), after the failure limit, and equally for unknown clients and wrong secrets of any scheme. A
 * correct secret is remembered as a proof, also across restarts, so that it is compared once.
 * docs/decisions/0017-fair-under-attack.md
 */
export class ImportedSecrets {
  readonly #directory: Directory
  readonly #failures: FailureLimit
  readonly #comparisons: Comparisons
  readonly #proofs: SecretProofs
  readonly #noteProof: NoteProof
  readonly #clock: Clock
  readonly #ownKey: Buffer
  /** Checks in progress, by network, client and digest of the secret: repeated requests share one. */
  readonly #checking = new Map<string, Promise<CheckedSecret>>()

  constructor(options: {
    directory: Directory
    failures: FailureLimit
    comparisons: Comparisons
    proofs: SecretProofs
    noteProof: NoteProof
    clock: Clock
    random: Random
  }) {
    this.#directory = options.directory
    this.#failures = options.failures
    this.#comparisons = options.comparisons
    this.#proofs = options.proofs
    this.#noteProof = options.noteProof
    this.#clock = options.clock
    this.#ownKey = options.random.bytes(32)
  }

  /**
   * `source` is the caller's address. Only a correct secret, or a fault of the database, does not count as a failure.
   * @throws {Busy} when too many secrets are being checked. @throws {Unavailable} when the lookup of the client fails.
   */
  async check(clientId: string, secret: string, source: string | undefined): Promise<CheckedSecret> {
    if (!this.#directory.imports || !IMPORTED_CLIENT_ID.test(clientId)) return { kind: 'malformed' }
    const found = this.#directory.findClient(clientId)
    if (found && this.#isProven(clientId, found, secret)) return { kind: 'correct', found }
    const allowance = await this.#failures.take(source)
    if (!allowance.granted) return { kind: 'rate_limited', retryAfterSeconds: allowance.retryAfterSeconds }
    const started = this.#clock.monotonicMs()
    try {
      const checked = await this.#shared(clientId, secret, source)
      if (checked.kind === 'correct') allowance.giveBack()
      else await this.#notBefore(started + REFUSED_AFTER_MS)
      return checked
    } catch (fault) {
      if (fault instanceof Busy) await this.#notBefore(started + BUSY_AFTER_MS)
      else allowance.giveBack()
      throw fault
    }
  }

  async #shared(clientId: string, secret: string, source: string | undefined): Promise<CheckedSecret> {
    const network = source === undefined ? 'unknown' : routedNetworkOf(source)
    const digest = createHmac('sha256', this.#ownKey).update(secret).digest('base64')
    const attempt = { network, clientId, secret, digest }
    const name = `${network} ${clientId} ${digest}`
    const checking = this.#checking.get(name) ?? this.#checkInLine(attempt)
    this.#checking.set(name, checking)
    try {
      return await checking
    } finally {
      this.#checking.delete(name)
    }
  }

  /**
   * Each attempt takes a place in the line of its network, and no refusal is answered before its turn: so a refusal takes
   * equally long whether there is such a client or not.
   */
  async #checkInLine(attempt: Attempt): Promise<CheckedSecret> {
    const inMemory = this.#directory.findClient(attempt.clientId)
    const line = this.#comparisons.join(attempt, this.#directory.imports?.highestCost ?? null, inMemory)
    try {
      const found = inMemory ?? (await this.#directory.lookUpClient(attempt.clientId))
      if (found && !isRevoked(found) && (await this.#isRight(attempt, found, line)))
        return { kind: 'correct', found }
      await line.turn()
      if (!found) return { kind: 'unknown' }
      return { kind: isRevoked(found) ? 'revoked' : 'wrong', found }
    } finally {
      line.leave()
    }
  }

  async #isRight(attempt: Attempt, found: SecretSnapshot, line: PlaceInLine): Promise<boolean> {
    const { clientId, secret } = attempt
    if (!found.imported) return false
    const { scheme, hash } = found.imported
    if (scheme !== 'bcrypt') return matchesSha256(secret, hash)
    if (this.#isProven(clientId, found, secret)) return true
    // A client with a proof presents another secret than before: it is compared, but only in the line.
    const overtakes = found.proof === undefined || !this.#proofs.knows(found.proof)
    if (!(await line.compare(hash, { overtakes }))) return false
    this.#noteProof(found, hash, this.#proofs.of({ clientId, hash, secret }))
    return true
  }

  #isProven(clientId: string, found: SecretSnapshot, secret: string): boolean {
    const { imported, proof } = found
    if (!imported || !proof) return false
    const credential = { clientId, hash: imported.hash, secret }
    if (!this.#proofs.holds(proof, credential)) return false
    if (!this.#proofs.isCurrent(proof)) this.#noteProof(found, imported.hash, this.#proofs.of(credential))
    return true
  }

  #notBefore(instant: number): Promise<void> {
    return this.#clock.sleep(Math.max(0, instant - this.#clock.monotonicMs()))
  }
}
