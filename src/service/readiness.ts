import { databaseFault } from '../database/database-fault.ts'
import { Unavailable } from '../errors.ts'
import type { Readiness } from '../http/health.ts'
import { InstallationMismatch } from '../installation/installation.ts'
import { KeyDecryptionError } from '../signing-keys/key-encryption.ts'
import { UntrustedKeys } from '../signing-keys/untrusted-keys.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'

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

  constructor(options: { clock: Clock; logger: Logger }) {
    this.#clock = options.clock
    this.#logger = options.logger
  }

  get draining(): boolean {
    return this.#stopped.signal.aborted
  }

  /** Returns when ready, or when `drain` was called first. */
  async until(prepare: () => Promise<void>): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      try {
        await prepare()
        if (this.#stopped.signal.aborted) return
        this.ready = true
        this.serving = true
        this.reason = ''
        return
      } catch (error) {
        if (this.#stopped.signal.aborted) return
        this.#note(error)
        await this.#clock.sleep(RETRY_MS, this.#stopped.signal)
      }
    }
  }

  /** Runs `check`, which returns a reason or throws, and logs when the warning changes. */
  async watch(check: () => Promise<string | undefined>): Promise<void> {
    const warning = (await check().catch(error => databaseFault(error) ?? NO_ANSWER)) ?? ''
    if (warning === this.warning) return
    this.warning = warning
    if (warning === '') this.#logger.info('nothing fails any more')
    else this.#logger.error({ reason: warning }, 'ready only for API keys in memory')
  }

  /** Becomes unready for load balancers; requests are served until the listeners close. */
  drain(): void {
    this.ready = false
    this.reason = 'draining'
    this.#stopped.abort()
  }

  #note(error: unknown): void {
    const foreseen = [NotReady, InstallationMismatch, KeyDecryptionError, UntrustedKeys].some(
      known => error instanceof known,
    )
    const reason = foreseen ? (error as Error).message : databaseFault(error)
    const shown = reason ?? (error instanceof Unavailable ? error.message : 'internal error: see the log')
    // Only unexpected errors need a stack.
    if (shown !== this.reason)
      this.#logger.error({ reason: shown, ...(reason === undefined && { err: error }) }, 'not ready')
    this.reason = shown
  }
}
