import { sha256Of } from '../api-keys/imported/imported-hash.ts'
import { LOOKUP_SCHEME, mayBeLookup } from '../api-keys/imported/lookup-secret.ts'
import type { Directory, SecretSnapshot } from '../directory/directory.ts'
import { Unavailable } from '../errors.ts'
import type { FailureLimit } from '../system/failure-limit.ts'

/** Why a secret was not found. `malformed`: nothing of its form is looked up. */
type NotFound = { kind: 'malformed' | 'unknown' } | { kind: 'rate_limited'; retryAfterSeconds: number }

/** Number of secrets that were looked up, by outcome, since the start. */
interface LookupCounts {
  found: number
  unknown: number
  limited: number
}

/**
 * Finds the owner of an imported secret that is presented without its client_id, in memory: a SHA-256, an HMAC and a map. A
 * secret that is unknown costs no query, and counts as a failure of its source.
 */
export class LookupSecrets {
  readonly #directory: Directory
  readonly #failures: FailureLimit
  readonly counts: LookupCounts = { found: 0, unknown: 0, limited: 0 }

  constructor(options: { directory: Directory; failures: FailureLimit }) {
    this.#directory = options.directory
    this.#failures = options.failures
  }

  /** As `find`, and counted. @throws {Unavailable} as there */
  async use(secret: string): Promise<SecretSnapshot | undefined> {
    const found = await this.find(secret)
    if (found) this.counts.found++
    return found
  }

  /**
   * The secret, from memory; from Postgres by its client_id if memory is too stale for its tenant. Undefined: unknown.
   * @throws {Unavailable} when Postgres is needed and does not answer.
   */
  async find(secret: string): Promise<SecretSnapshot | undefined> {
    if (this.#directory.lookups === 0 || !mayBeLookup(secret)) return undefined
    const hash = sha256Of(secret)
    const name = this.#directory.nameOfHash(hash)
    if (name === undefined) return undefined
    const found = this.#directory.find([name]) ?? (await this.#directory.lookUp([name]))
    // The client may have another secret by now.
    return found?.imported?.scheme === LOOKUP_SCHEME && found.imported.hash === hash ? found : undefined
  }

  /**
   * Counts a secret that `use` did not find as a failure of its source.
   * @throws {Unavailable} when it may be one that this replica cannot verify.
   */
  async refuse(secret: string, source: string | undefined): Promise<NotFound> {
    const lacks = this.#directory.lacksImported
    if ((this.#directory.lookups === 0 && !lacks) || !mayBeLookup(secret)) return { kind: 'malformed' }
    const allowance = await this.#failures.take(source)
    if (!allowance.granted) {
      this.counts.limited++
      return { kind: 'rate_limited', retryAfterSeconds: allowance.retryAfterSeconds }
    }
    if (lacks) throw new Unavailable('This replica cannot check imported secrets. Retry on another replica.')
    this.counts.unknown++
    return { kind: 'unknown' }
  }
}
