import type { ChangeUpdate } from '../database/change-subscriber.ts'
import type { SecretSnapshot } from './directory.ts'

/** The objects named by directory updates. */
export class ChangedObjects {
  readonly #everything: boolean
  readonly #names: ReadonlySet<string>

  constructor(updates: readonly ChangeUpdate[]) {
    const changes = updates.flatMap(update => (update === 'everything' ? [] : update))
    // Tiers and models affect the rights of every key.
    this.#everything =
      updates.includes('everything') || changes.some(({ kind }) => kind === 'tier' || kind === 'model')
    this.#names = new Set(changes.map(({ kind, id }) => `${kind} ${id}`))
  }

  affect({ keyId, tenantId }: SecretSnapshot): boolean {
    return this.#everything || this.#names.has(`key ${keyId}`) || this.#names.has(`tenant ${tenantId}`)
  }
}
