import { parseCredential } from '../api-keys/api-key.ts'
import type { KeyDigests } from '../api-keys/key-digest.ts'
import type { Apply, ChangeSubscriber } from '../database/change-subscriber.ts'
import type { Database, Handle } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import { holdCurrentPepper } from '../installation/installation.ts'
import type { Logger } from '../system/logger.ts'
import type { LiveReporter } from './usage-reporter.ts'
import { liveReporters, setReporterDigest } from './usage-reporter-repository.ts'

/**
 * All reporters that are not deleted, by their secrets, in memory: a report with a wrong secret costs no query. Changes arrive with the
 * change feed; a report is also checked in the transaction that counts it.
 */
export class KnownReporters implements ChangeSubscriber {
  readonly kinds = ['usage-reporter'] as const
  readonly #database: Database
  readonly #digests: KeyDigests
  readonly #logger: Logger
  readonly #isEnded: (reporter: LiveReporter) => boolean
  /** By digest in base64. */
  #reporters: ReadonlyMap<string, LiveReporter> | undefined
  /** Number of times that they were read. */
  #reads = 0
  /** This process changed one, and could not read it yet. */
  #isBehind = false

  /** `isEnded`: whether its secret is over by now, or a restored database brought it back. */
  constructor(options: {
    database: Database
    digests: KeyDigests
    logger: Logger
    isEnded: (reporter: LiveReporter) => boolean
  }) {
    this.#database = options.database
    this.#digests = options.digests
    this.#logger = options.logger
    this.#isEnded = options.isEnded
  }

  /** The reporter with this secret; undefined: none. @throws {Unavailable} until they have been read, also one that is new. */
  authenticate(presented: string): LiveReporter | undefined {
    if (parseCredential(presented)?.prefix !== 'mmr') return undefined
    if (!this.#reporters) throw new Unavailable('The usage reporters are not known yet. Retry.')
    for (const name of this.#digests.names(presented)) {
      const reporter = this.#reporters.get(name)
      if (!reporter || this.#isEnded(reporter)) continue
      if (reporter.pepperId !== this.#digests.storing.id)
        this.#redigest(presented, reporter).catch(err =>
          this.#logger.warn(
            { err, usage_reporter: reporter.id },
            'the secret of a usage reporter was not moved to the current pepper',
          ),
        )
      return reporter
    }
    if (this.#isBehind) throw new Unavailable('New usage reporters are not known yet. Retry.')
    return undefined
  }

  /** `ChangeSubscriber.load`. What `read` reads meanwhile is newer. */
  async load(): Promise<Apply> {
    const before = this.#reads
    const reporters = await this.#database.run(liveReporters)
    return () => {
      if (this.#reads === before || !this.#reporters) this.#set(reporters)
    }
  }

  /** `ChangeSubscriber.read`. */
  async read(trx: Handle): Promise<Apply> {
    const reporters = await liveReporters(trx)
    return () => {
      this.#reads++
      this.#set(reporters)
    }
  }

  /** `ChangeSubscriber.forget`. One that was deleted is not trusted: the transaction that counts a report checks its reporter again. */
  forget(): void {
    this.#isBehind = true
  }

  #set(reporters: readonly LiveReporter[]): void {
    this.#isBehind = false
    this.#reporters = new Map(reporters.map(reporter => [reporter.digest, reporter]))
  }

  /** Stores the secret under the pepper for new digests, unless the installation record names another one. */
  async #redigest(presented: string, reporter: LiveReporter): Promise<void> {
    const digest = this.#digests.forStoring(presented)
    const done = await this.#database.write(async trx => {
      if (!(await holdCurrentPepper(trx, this.#digests.storing))) return false
      await setReporterDigest(trx, reporter.secretId, digest)
      return true
    })
    if (!done) return
    const name = digest.digest.toString('base64')
    const others = [...(this.#reporters ?? [])].filter(([known]) => known !== reporter.digest)
    this.#reporters = new Map([...others, [name, { ...reporter, digest: name, pepperId: digest.pepperId }]])
  }
}
