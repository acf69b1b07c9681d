import type { Clock } from '../system/clock.ts'
import type { DirectoryIndex } from './directory-index.ts'

const COMPARED_AT_ONCE = 5_000
const MOST_LISTED = 100

/** After a failover or a restore: which keys the database does not know any more, and which it knows again. */
export async function keyDifferences(before: DirectoryIndex, after: DirectoryIndex, clock: Clock) {
  const gone = await missing(before, after, clock)
  const come = await missing(after, before, clock)
  return {
    keys: after.size,
    keysGone: gone.length,
    keysCome: come.length,
    gone: gone.slice(0, MOST_LISTED),
    come: come.slice(0, MOST_LISTED),
  }
}

/** In pieces, because exchanges go first. */
async function missing(from: DirectoryIndex, to: DirectoryIndex, clock: Clock): Promise<string[]> {
  const ids: string[] = []
  let compared = 0
  for (const id of from.keyIds()) {
    if (!to.has(id)) ids.push(id)
    if (++compared % COMPARED_AT_ONCE === 0) await clock.sleep(0)
  }
  return ids
}
