import type { Database } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { findTenants } from '../tenants/tenant-repository.ts'
import { getTenant } from '../tenants/tenants.ts'
import { lastUses } from './access-review-repository.ts'
import type { ApiKey } from './api-key.ts'
import type { KeyFilter } from './key-filter.ts'
import { listApiKeys } from './key-list-repository.ts'

/** A key under review: who answers for it, and when it was last used. */
export interface ReviewedKey {
  key: ApiKey
  tenantName: string
  /** The key's own, otherwise its tenant's. */
  contact: string | null
  escalation: string | null
  /** With a secret or another credential; null: never. */
  lastUsedAt: Date | null
}

/** Lists keys with their owners. */
export class AccessReview {
  readonly #database: Database

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** Newest first. @throws {NotFound} when the tenant of the filter does not exist. */
  list(filter: KeyFilter, page: PageRequest): Promise<Page<ReviewedKey>> {
    return this.#database.readSnapshot(async db => {
      if (filter.tenantId !== undefined) await getTenant(db, filter.tenantId)
      const { items, next } = await listApiKeys(db, filter, page)
      const tenants = await findTenants(db, [...new Set(items.map(({ tenantId }) => tenantId))])
      const used = await lastUses(
        db,
        items.map(({ id }) => id),
      )
      const reviewed = items.map(key => {
        const tenant = tenants.get(key.tenantId)
        return {
          key,
          tenantName: tenant?.name ?? '',
          contact: key.contact ?? tenant?.contact ?? null,
          escalation: key.escalation ?? tenant?.escalation ?? null,
          lastUsedAt: used.get(key.id) ?? null,
        }
      })
      return { items: reviewed, next }
    })
  }
}
