import { type FeedPosition, feedEnd } from '../database/change-feed.ts'
import type { Database, Handle } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import { DirectoryIndex } from './directory-index.ts'
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

/** A directory, and how far it has followed. */
export interface Copy {
  index: DirectoryIndex
  position: FeedPosition
}

/** Small enough that no query takes long. */
const KEYS_A_PAGE = 1_000
/** Small enough that reading a page in holds up exchanges for a few milliseconds only. */
const KEYS_A_PAGE_WHILE_SERVING = 250
const TENANTS_A_PAGE = 1_000
const INSTANTS_A_PAGE = 20_000

/** Reads one page after another until there are no more. */
type Reader = <T>(
  read: (db: Handle, after: string) => Promise<ReadPage<T>>,
  after: string,
) => AsyncGenerator<T[]>

/**
 * Reads the whole directory, page by page. The position is from before the first page: what changed later is in the
 * feed after it, and wins over what was read here once the copy has caught up; before that it must not be used.
 * `serving`: exchanges are answered meanwhile, and go first.
 *
 * @throws {Unavailable} when the database does not answer, or `signal` says that nobody waits any more.
 */
export async function loadCopy(
  database: Database,
  options: { maxKeys: number; tokenTtlSeconds: number; serving: boolean; signal: AbortSignal },
): Promise<Copy> {
  const { maxKeys, tokenTtlSeconds } = options
  const failed = new AbortController()
  const reader = pagesOf(database, AbortSignal.any([options.signal, failed.signal]))
  const position = await database.read(feedEnd)
  const catalogue = await database.read(db => readCatalogue(db, tokenTtlSeconds))
  const index = new DirectoryIndex({ catalogue, maxKeys })
  for await (const tenants of reader((db, after) => tenantPage(db, { after, limit: TENANTS_A_PAGE }), '')) {
    for (const tenant of tenants) index.putTenant(tenant)
  }
  index.overflowed = await database.read(db => hasMoreKeysThan(db, maxKeys))
  const usedSince = index.overflowed ? await latestUse(reader, maxKeys) : null
  const limit = options.serving ? KEYS_A_PAGE_WHILE_SERVING : KEYS_A_PAGE
  const readKeys = async (from: string, upTo: string | null) => {
    const page = (db: Handle, after: string) =>
      usedSince === null
        ? keyPage(db, { after, upTo, limit })
        : recentKeyPage(db, { after, upTo, limit, usedSince })
    for await (const keys of reader(page, from)) {
      for (const key of keys) index.put(key)
    }
  }
  const middle = await database.read(middleKey)
  try {
    // Two halves at once: the server makes a page of one while this process reads the other's.
    if (!options.serving) await Promise.all([readKeys('0', middle), readKeys(middle, null)])
    else await readKeys('0', null)
  } finally {
    failed.abort()
  }
  return { index, position }
}

function pagesOf(database: Database, signal: AbortSignal): Reader {
  return async function* <T>(read: (db: Handle, after: string) => Promise<ReadPage<T>>, first: string) {
    let after: string | undefined = first
    while (after !== undefined) {
      if (signal.aborted) throw new Unavailable('The directory is not read any further. Try again.')
      const from: string = after
      const page: ReadPage<T> = await database.read(db => read(db, from))
      yield page.items
      after = page.last
    }
  }
}

/** The instant, in epoch milliseconds, since which as many keys as `count` were used or made. */
async function latestUse(reader: Reader, count: number): Promise<number | null> {
  const instants: number[] = []
  const limit = INSTANTS_A_PAGE
  for await (const page of reader((db, after) => lastUsePage(db, { after, limit }), '0')) {
    instants.push(...page)
  }
  return Float64Array.from(instants).sort().at(-count) ?? null
}
