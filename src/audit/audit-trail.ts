import type { Database } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { readInstallation } from '../installation/installation.ts'
import type { Logger } from '../system/logger.ts'
import type { AuditRow, ChainHead } from './audit-chain.ts'
import type { CheckpointSigner } from './audit-checkpoint.ts'
import type { Actor } from './audit-event.ts'
import { type AuditFilter, chainEnds, insertCheckpoint, readRows } from './audit-event-repository.ts'
import { mutate } from './audit-log.ts'

/** A part of an export, oldest first. `next` is the position to continue after, null at the end, which is `upTo`. */
export interface ExportedPart {
  rows: AuditRow[]
  next: number | null
  upTo: number
}

/** Reads the trail, and signs its head. */
export class AuditTrail {
  readonly #database: Database
  readonly #signer: CheckpointSigner
  readonly #logger: Logger

  constructor(options: { database: Database; signer: CheckpointSigner; logger: Logger }) {
    this.#database = options.database
    this.#signer = options.signer
    this.#logger = options.logger
  }

  /** Newest first. */
  async list(filter: AuditFilter, { limit, after }: PageRequest): Promise<Page<AuditRow>> {
    const before = after === null ? null : Number(after)
    const rows = await this.#database.run(db => readRows(db, { before }, limit + 1, filter))
    const items = rows.slice(0, limit)
    return { items, next: rows.length > limit ? String(items.at(-1)?.id) : null }
  }

  /** Rows after a position. Each exported part is recorded in a row of its own, which is after `upTo`. */
  async export(
    actor: Actor,
    filter: AuditFilter,
    part: { after: number; upTo: number | undefined; limit: number },
  ): Promise<ExportedPart> {
    const { after, limit } = part
    const upTo = part.upTo ?? (await this.#database.run(chainEnds)).head.id
    const found = await this.#database.run(db => readRows(db, { after, upTo }, limit + 1, filter))
    const rows = found.slice(0, limit)
    const given = { firstId: rows[0]?.id ?? null, lastId: rows.at(-1)?.id ?? null, rows: rows.length }
    const asked = Object.entries({ ...given, ...filter }).filter(([, value]) => value !== undefined)
    const changes = Object.fromEntries(asked.map(([name, value]) => [name, { to: value as string }]))
    await mutate(this.#database, actor, async ({ record }) =>
      record({ action: 'audit.export', targetKind: 'audit', targetId: 'trail', changes }),
    )
    return { rows, next: found.length > limit ? (rows.at(-1)?.id ?? null) : null, upTo }
  }

  /** A signed statement of the current head. */
  async checkpoint(): Promise<{ jws: string; head: ChainHead; thumbprint: string }> {
    const { head, at } = await this.#database.run(chainEnds)
    const { id: installation, issuer } = await this.#database.run(readInstallation)
    const jws = await this.#signer.sign({ issuer, installation, id: head.id, hash: head.hash, at })
    return { jws, head, thumbprint: await this.#signer.thumbprint() }
  }

  /** Stores a checkpoint in the database and logs it, unless one of this head exists. */
  async keepCheckpoint(): Promise<void> {
    const { jws, head } = await this.checkpoint()
    if (head.id === 0) return
    const isNew = await this.#database.write(trx => insertCheckpoint(trx, head, jws))
    if (!isNew) return
    // RFC 7515 §7.2.2: logged as a whole, it would be redacted as a token.
    const [protectedHeader, payload, signature] = jws.split('.')
    const parts = { protected: protectedHeader, payload, signature }
    this.#logger.info({ audit_id: head.id, checkpoint: parts }, 'audit checkpoint')
  }
}
