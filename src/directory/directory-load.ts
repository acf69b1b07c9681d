import type { Database, Handle } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { DirectoryIndex, type DirectoryUpdate } from './directory-index.ts'
import {
  hasMoreKeysThan,
  keyPage,
  lastUsePage,
  middleKey,
  type ReadPage,
  readCatalogue,
  recentKeyPage,
  tenantPage,
} from './directory-repository.ts'
import type { KnownKey, KnownTenant } from './known-key.ts'
import type { LookupName } from './lookup-names.ts'

/** Bounds the time of one query. */
const KEYS_A_PAGE = 1_000
/** Bounds how long parsing a page delays exchanges, to a few milliseconds. */
const KEYS_A_PAGE_WHILE_SERVING = 250
const TENANTS_A_PAGE = 1_000
const INSTANTS_A_PAGE = 20_000

interface LoadOptions {
  seals: RowSeals
  maxKeys: number
  tokenTtlSeconds: number
  lookupName: LookupName
  serving: boolean
}

type ReadFrom<T> = (db: Handle, after: string) => Promise<ReadPage<T>>

/**
 * Reads the whole directory into a new index, page by page. Changes that are committed during the load are applied to
 * it as well and take precedence over pages: a page may be older than the change, and a page that is newer is followed
 * by one more change. The index must not be used before a poll that began after the last page.
 */
export class DirectoryLoad {
  readonly #database: Database
  readonly #options: LoadOptions
  /** Keys and tenants that changed since the load began. */
  readonly #changed = new Set<string>()
  #catalogueChanged = false
  #modelsChanged = false
  readonly index: DirectoryIndex

  /** `serving`: exchanges are answered during the load and have priority. */
  constructor(database: Database, options: LoadOptions) {
    this.#database = database
    this.#options = options
    const { maxKeys, tokenTtlSeconds, lookupName } = options
    this.index = new DirectoryIndex({
      catalogue: { priorities: new Map(), tierLimits: new Map(), models: [], tokenTtlSeconds },
      maxKeys,
      lookupName,
    })
  }

  /** @throws {Unavailable} when the database does not answer, or `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { maxKeys, tokenTtlSeconds, serving } = this.#options
    const { catalogue, modelFacts } = await this.#database.run(db => readCatalogue(db, tokenTtlSeconds))
    if (!this.#catalogueChanged) this.index.setCatalogue(catalogue)
    if (!this.#modelsChanged) this.index.modelFacts = modelFacts
    const tenants: ReadFrom<KnownTenant> = (db, after) => tenantPage(db, { after, limit: TENANTS_A_PAGE })
    for await (const page of this.#pages(tenants, '', signal)) this.#putTenants(page)
    const more = await this.#database.run(db => hasMoreKeysThan(db, maxKeys))
    if (more) this.index.overflowed = true
    const usedSince = more ? await this.#latestUse(maxKeys, signal) : null
    const middle = await this.#database.run(middleKey)
    const failed = new AbortController()
    const either = AbortSignal.any([signal, failed.signal])
    try {
      // Two halves at once: the server prepares a page of one while this process parses the other's.
      if (serving) await this.#readKeys('0', null, usedSince, either)
      else
        await Promise.all([
          this.#readKeys('0', middle, usedSince, either),
          this.#readKeys(middle, null, usedSince, either),
        ])
    } finally {
      failed.abort()
    }
  }

  /** Applies a change that was committed after the load began. */
  apply(update: DirectoryUpdate): void {
    this.#catalogueChanged = true
    if (update.modelFacts) this.#modelsChanged = true
    for (const id of update.keyIds) this.#changed.add(`key ${id}`)
    for (const id of update.tenantIds) this.#changed.add(`tenant ${id}`)
    this.index.apply(update)
  }

  #putTenants(tenants: readonly KnownTenant[]): void {
    for (const tenant of tenants) {
      if (!this.#changed.has(`tenant ${tenant.id}`)) this.index.putTenant(tenant)
    }
  }

  async #readKeys(
    from: string,
    upTo: string | null,
    usedSince: number | null,
    signal: AbortSignal,
  ): Promise<void> {
    const { seals, serving } = this.#options
    const limit = serving ? KEYS_A_PAGE_WHILE_SERVING : KEYS_A_PAGE
    const read: ReadFrom<KnownKey> = (db, after) =>
      usedSince === null
        ? keyPage(db, seals, { after, upTo, limit })
        : recentKeyPage(db, seals, { after, upTo, limit, usedSince })
    for await (const page of this.#pages(read, from, signal)) {
      for (const key of page) if (!this.#isOutdated(key)) this.index.put(key)
    }
  }

  #isOutdated({ id, tenantId }: KnownKey): boolean {
    const tenantIsGone = this.#changed.has(`tenant ${tenantId}`) && !this.index.hasTenant(tenantId)
    return tenantIsGone || this.#changed.has(`key ${id}`)
  }

  /** The instant, in epoch milliseconds, since which `count` keys were used or created; null: fewer exist. */
  async #latestUse(count: number, signal: AbortSignal): Promise<number | null> {
    const instants: number[] = []
    const read: ReadFrom<number> = (db, after) => lastUsePage(db, { after, limit: INSTANTS_A_PAGE })
    for await (const page of this.#pages(read, '0', signal)) instants.push(...page)
    return Float64Array.from(instants).sort().at(-count) ?? null
  }

  /** Yields pages until the last. */
  async *#pages<T>(read: ReadFrom<T>, first: string, signal: AbortSignal): AsyncGenerator<T[]> {
    let after: string | undefined = first
    while (after !== undefined) {
      if (signal.aborted) throw new Unavailable('The directory was not loaded in time. Retry.')
      const from: string = after
      const page: ReadPage<T> = await this.#database.run(db => read(db, from))
      yield page.items
      after = page.last
    }
  }
}
