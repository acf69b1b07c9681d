import { databaseWarning } from '../database/condition/database-warning.ts'
import { openSchema } from '../database/condition/shadows.ts'
import { databaseFault } from '../database/database-fault.ts'
import { Unavailable } from '../errors.ts'
import type { Readiness } from '../http/health.ts'
import { InstallationMismatch } from '../installation/installation.ts'
import { KeyDecryptionError } from '../signing-keys/key-encryption.ts'
import { UntrustedKeys } from '../signing-keys/untrusted-keys.ts'
import { SnapshotFault } from '../snapshots/snapshot-fault.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Parts } from './parts.ts'
import { restoreWarning } from './restores.ts'

/** A reason why this process must not serve; the message names the cure. */
export class NotReady extends Error {
  override readonly name = 'NotReady'
}

const RETRY_MS = 1_000
const NO_ANSWER = 'The database does not answer.'

/**
 * Ready once `prepare` has succeeded, and from then on until draining: a later database outage must not make the JWKS
 * unavailable. Until then `prepare` is retried each second, and `reason` holds the last failure.
 */
export class ReadinessGate implements Readiness {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #stopped = new AbortController()
  ready = false
  serving = false
  reason = 'starting'
  warning = ''
  /** It serves from a snapshot, and the database was not checked yet. */
  fromSnapshot = false

  constructor(options: { clock: Clock; logger: Logger }) {
    this.#clock = options.clock
    this.#logger = options.logger
  }

  get draining(): boolean {
    return this.#stopped.signal.aborted
  }

  /**
   * Returns when ready, or when `drain` was called first. `fallback`: makes the process ready without the database, which
   * does not answer. @throws {NotReady} why it cannot
   */
  async until(
    prepare: () => Promise<void>,
    fallback?: () => Promise<void>,
  ): Promise<'prepared' | 'fallback' | 'stopped'> {
    while (!this.#stopped.signal.aborted) {
      try {
        await prepare()
        return this.#begin('prepared')
      } catch (error) {
        if (this.#stopped.signal.aborted) break
        if (fallback && error instanceof Unavailable) {
          try {
            await fallback()
            this.#warnWithout(error)
            return this.#begin('fallback')
          } catch (refusal) {
            this.#note(error, refusal)
          }
        } else this.#note(error)
        await this.#clock.sleep(RETRY_MS, this.#stopped.signal)
      }
    }
    return 'stopped'
  }

  /** After a fallback: retries `prepare` until it succeeds. False: `drain` was called first. */
  async recover(prepare: () => Promise<void>): Promise<boolean> {
    while (!this.#stopped.signal.aborted) {
      try {
        await prepare()
        if (this.#stopped.signal.aborted) break
        this.fromSnapshot = false
        this.warning = ''
        this.#logger.info('the database answers: following its changes again')
        return true
      } catch (error) {
        this.#warnWithout(error)
        await this.#clock.sleep(RETRY_MS, this.#stopped.signal)
      }
    }
    return false
  }

  /** For what needs the database: it does not serve before the database was checked. */
  get withDatabase(): Readiness {
    const gate = this
    return {
      get ready() {
        return gate.ready && !gate.fromSnapshot
      },
      get serving() {
        return gate.serving && !gate.fromSnapshot
      },
      get reason() {
        return gate.fromSnapshot ? gate.warning : gate.reason
      },
    }
  }

  #begin<How extends string>(how: How): How | 'stopped' {
    if (this.#stopped.signal.aborted) return 'stopped'
    this.ready = true
    this.serving = true
    this.reason = ''
    return how
  }

  #warnWithout(error: unknown): void {
    this.fromSnapshot = true
    const { shown } = describe(error)
    const warning = `Serving from a snapshot, without the database. ${shown}`
    if (warning === this.warning) return
    this.warning = warning
    this.#logger.error({ reason: shown }, 'serving from a snapshot, without the database')
  }

  /** Runs `check`, which returns a reason or throws, and logs when the warning changes. */
  async watch(check: () => Promise<string | undefined>): Promise<void> {
    const warning = (await check().catch(error => databaseFault(error) ?? NO_ANSWER)) ?? ''
    if (warning === this.warning) return
    this.warning = warning
    if (warning === '') this.#logger.info('the warning is resolved')
    else this.#logger.error({ reason: warning }, 'ready, with a warning')
  }

  /** Becomes unready for load balancers; requests are served until the listeners close. */
  drain(): void {
    this.ready = false
    this.reason = 'draining'
    this.#stopped.abort()
  }

  /** `refusal`: why no fallback helps. */
  #note(error: unknown, refusal?: unknown): void {
    const { shown, isForeseen } = describe(error)
    const reason = refusal === undefined ? shown : `${shown} ${describe(refusal).shown}`
    // Only unexpected errors need a stack.
    if (reason !== this.reason)
      this.#logger.error({ reason, ...(!isForeseen && { err: error }) }, 'not ready')
    this.reason = reason
  }
}

/** The `warning` of a process that is ready: what an operator has to do first, with the cure; undefined: nothing. */
export async function currentWarning({
  storage,
  trust,
}: Pick<Parts, 'storage' | 'trust'>): Promise<string | undefined> {
  return (
    (await databaseWarning(storage)) ??
    restoreWarning(trust.tombstones) ??
    (await openSchema(storage.directoryDatabase))
  )
}

const FORESEEN = [NotReady, InstallationMismatch, KeyDecryptionError, UntrustedKeys, SnapshotFault]

function describe(error: unknown): { shown: string; isForeseen: boolean } {
  const isKnown = FORESEEN.some(known => error instanceof known)
  const reason = isKnown ? (error as Error).message : databaseFault(error)
  const shown = reason ?? (error instanceof Unavailable ? error.message : 'internal error: see the log')
  return { shown, isForeseen: reason !== undefined }
}
