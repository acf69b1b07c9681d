import type { Actor } from '../audit/audit-event.ts'
import { fieldChanges } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { NotFound } from '../errors.ts'
import { type Tier, type TierSettings, tierVersion } from './tier.ts'
import { deleteTier, findTier, insertTier, listTiers, lockTier, updateTier } from './tier-repository.ts'

/** Operations on tiers. A change applies from the next exchange on. */
export class Tiers {
  readonly #database: Database

  constructor(options: { database: Database }) {
    this.#database = options.database
  }

  /** @throws {NotFound} */
  async get(name: string): Promise<Tier> {
    const tier = await this.#database.run(db => findTier(db, name))
    if (!tier) throw new NotFound('tier', name)
    return tier
  }

  list(page: PageRequest): Promise<Page<Tier>> {
    return this.#database.run(db => listTiers(db, page))
  }

  /** Creates the tier, or replaces an existing one. */
  async put(actor: Actor, settings: TierSettings): Promise<{ tier: Tier; created: boolean }> {
    return mutate(this.#database, actor, async ({ trx, found, record }) => {
      const before = await lockTier(trx, settings.name)
      found(before && tierVersion(before))
      const changes = fieldChanges(before && editable(before), settings)
      if (before && Object.keys(changes).length === 0) return { tier: before, created: false }
      const tier = before ? await updateTier(trx, settings) : await insertTier(trx, settings)
      const action = before ? 'tier.update' : 'tier.create'
      record({ action, targetKind: 'tier', targetId: tier.name, changes }, { kind: 'tier', id: tier.name })
      return { tier, created: !before }
    })
  }

  /** @throws {NotFound} @throws {Conflict} while a tenant or a key may use it. */
  async delete(actor: Actor, name: string): Promise<void> {
    await mutate(this.#database, actor, async ({ trx, found, record }) => {
      const tier = await lockTier(trx, name)
      if (!tier) throw new NotFound('tier', name)
      found(tierVersion(tier))
      await deleteTier(trx, name)
      const changes = fieldChanges(editable(tier), undefined)
      record(
        { action: 'tier.delete', targetKind: 'tier', targetId: name, changes },
        { kind: 'tier', id: name },
      )
    })
  }
}

const editable = ({ name, priority, description, limits }: Tier): TierSettings => ({
  name,
  priority,
  description,
  limits,
})
