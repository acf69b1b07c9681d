import { formatCredential, parseCredential, randomId } from '../api-keys/api-key.ts'
import type { KeyDigests } from '../api-keys/key-digest.ts'
import { type Actor, fieldChanges } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { Conflict, NotFound } from '../errors.ts'
import { holdPepper } from '../installation/installation.ts'
import type { Random } from '../system/random.ts'
import { type ReporterRotation, rotateSecret } from './reporter-rotation.ts'
import { type UsageReporter, usageReporterTarget, usageReporterVersion } from './usage-reporter.ts'
import {
  countReporters,
  findReporter,
  findSecretOf,
  insertReporter,
  listReporters,
  lockReporter,
  type NewSecret,
  olderSecret,
  replaceSecret,
  setDeleted,
  setReporterSecretEnd,
} from './usage-reporter-repository.ts'

/** Each replica has all of them in memory. */
const MOST_REPORTERS = 1_000

/** What a presented string is. */
export interface ReporterInspection {
  /** It has the form and the checksum of a secret of a usage reporter. */
  wellFormed: boolean
  /** `endsAt`: when the secret ends or ended; null: it is the newest one. */
  found?: { reporter: UsageReporter; secretId: string; endsAt: Date | null } | undefined
}

/** Operations on usage reporters. */
export class UsageReporters {
  readonly #database: Database
  readonly #digests: KeyDigests
  readonly #random: Random

  constructor(options: { database: Database; digests: KeyDigests; random: Random }) {
    this.#database = options.database
    this.#digests = options.digests
    this.#random = options.random
  }

  /** The secret is not stored, so it can be shown only once. @throws {Conflict} when there are too many. */
  create(
    actor: Actor,
    settings: Pick<UsageReporter, 'name' | 'audiences'>,
  ): Promise<{ reporter: UsageReporter; secret: string }> {
    return mutate(this.#database, actor, async ({ trx, record }) => {
      if ((await countReporters(trx)) >= MOST_REPORTERS)
        throw new Conflict(
          'too_many_usage_reporters',
          `There are ${MOST_REPORTERS} usage reporters already. Delete one first.`,
        )
      const bareId = randomId(this.#random)
      const id = `rep_${bareId}`
      const secret = formatCredential('mmr', bareId, this.#random)
      await holdPepper(trx, this.#digests.storing)
      await insertReporter(trx, {
        id,
        ...settings,
        createdBy: actor.id,
        ...this.#digests.forStoring(secret),
      })
      const changes = fieldChanges(undefined, settings)
      record({ action: 'usage-reporter.create', ...usageReporterTarget(id), changes }, changeOf(id))
      return { reporter: await getReporter(trx, id), secret }
    })
  }

  /** @throws {NotFound} */
  get(id: string): Promise<UsageReporter> {
    return this.#database.run(db => getReporter(db, id))
  }

  list(page: PageRequest): Promise<Page<UsageReporter>> {
    return this.#database.run(db => listReporters(db, page))
  }

  /** The reporter that has or had this secret. */
  async inspect(presented: string): Promise<ReporterInspection> {
    if (parseCredential(presented)?.prefix !== 'mmr') return { wellFormed: false }
    const digests = this.#digests.forFinding(presented)
    return this.#database.run(async db => {
      const found = await findSecretOf(db, digests)
      return {
        wellFormed: true,
        found: found && { ...found, reporter: await getReporter(db, found.reporterId) },
      }
    })
  }

  /**
   * Another secret, shown once; the one before stays valid for a while. @throws {NotFound} @throws {PreconditionFailed}
   * @throws {Conflict} when it is deleted, or has two secrets and none is to be replaced.
   */
  rotate(
    actor: Actor,
    id: string,
    rotation: ReporterRotation,
  ): Promise<{ reporter: UsageReporter; secret: string }> {
    return mutate(this.#database, actor, async ({ trx, record, found }) => {
      const reporter = await lockedReporter(trx, id)
      found(usageReporterVersion(reporter))
      if (reporter.deletedAt)
        throw new Conflict('usage_reporter_deleted', 'The usage reporter is deleted. Create another one.')
      const { secret, next } = await this.#anotherSecret(trx, id)
      const ends = await rotateSecret(trx, reporter, next, rotation)
      const changes = { secretId: { to: next.secretId }, secretEnds: { to: ends } }
      record({ action: 'usage-reporter.rotate', ...usageReporterTarget(id), changes }, changeOf(id))
      return { reporter: await getReporter(trx, id), secret }
    })
  }

  /**
   * Ends one of its secrets, as it was before the database was restored. In place of the newest one comes another that no one knows: the
   * reporter reports again once it is rotated. @throws {NotFound}
   */
  async endSecret(actor: Actor, id: string, secretId: string): Promise<void> {
    await mutate(this.#database, actor, async ({ trx, record }) => {
      const reporter = await lockedReporter(trx, id)
      const { now, older } = await olderSecret(trx, id)
      if (secretId === reporter.secretId)
        await replaceSecret(trx, reporter, new Date(now), (await this.#anotherSecret(trx, id)).next)
      else if (secretId === older) await setReporterSecretEnd(trx, secretId, new Date(now))
      else throw new NotFound('secret', secretId)
      const changes = { secretId: { to: secretId } }
      record({ action: 'usage-reporter.secret-revoke', ...usageReporterTarget(id), changes }, changeOf(id))
    })
  }

  async #anotherSecret(trx: Handle, id: string): Promise<{ secret: string; next: NewSecret }> {
    const secret = formatCredential('mmr', id.slice('rep_'.length), this.#random)
    await holdPepper(trx, this.#digests.storing)
    return {
      secret,
      next: { secretId: `sec_${randomId(this.#random)}`, ...this.#digests.forStoring(secret) },
    }
  }

  /** Ends its secret. Its totals stay. Idempotent. @throws {NotFound} @throws {PreconditionFailed} */
  async delete(actor: Actor, id: string): Promise<void> {
    await mutate(this.#database, actor, async ({ trx, record, found }) => {
      const reporter = await lockedReporter(trx, id)
      found(usageReporterVersion(reporter))
      if (reporter.deletedAt) return
      await setDeleted(trx, id)
      const { name } = reporter
      const changes = fieldChanges({ name }, undefined)
      record({ action: 'usage-reporter.delete', ...usageReporterTarget(id), changes }, changeOf(id))
    })
  }
}

const changeOf = (id: string) => ({ kind: 'usage-reporter', id }) as const

/** @throws {NotFound} */
async function lockedReporter(trx: Handle, id: string): Promise<UsageReporter> {
  const reporter = await lockReporter(trx, id)
  if (!reporter) throw new NotFound('usage reporter', id)
  return reporter
}

/** @throws {NotFound} */
async function getReporter(db: Handle, id: string): Promise<UsageReporter> {
  const reporter = await findReporter(db, id)
  if (!reporter) throw new NotFound('usage reporter', id)
  return reporter
}
