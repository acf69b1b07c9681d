import type { Change } from '../database/change.ts'
import type { SecretSnapshot } from './directory.ts'

/** What a poll brought to the directory: changes, or all of it anew. */
export type Applied = readonly Change[] | 'everything'

/** What the directory learnt since a moment. */
export class Changed {
  readonly #everything: boolean
  readonly #names: ReadonlySet<string>

  constructor(since: readonly Applied[]) {
    const changes = since.flatMap(applied => (applied === 'everything' ? [] : applied))
    // A tier or a model is part of what every key yields.
    this.#everything =
      since.includes('everything') || changes.some(({ kind }) => kind === 'tier' || kind === 'model')
    this.#names = new Set(changes.map(({ kind, id }) => `${kind} ${id}`))
  }

  concern({ keyId, tenantId }: SecretSnapshot): boolean {
    return this.#everything || this.#names.has(`key ${keyId}`) || this.#names.has(`tenant ${tenantId}`)
  }
}
