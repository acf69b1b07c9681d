import type { Clock } from '../system/clock.ts'
import type { DirectoryIndex } from './directory-index.ts'

/** Few enough that exchanges hardly wait. */
const COMPARED_AT_ONCE = 1_000
const MOST_LISTED = 100

/**
 * After a failover or a restore: which keys the database does not know any more, which it knows again, and of which it,
 * or of their tenants, says something else (a suspension that was lost, say).
 */
export async function keyDifferences(before: DirectoryIndex, after: DirectoryIndex, clock: Clock) {
  const gone = await chosen(before, id => !after.has(id), clock)
  const come = await chosen(after, id => !before.has(id), clock)
  const differs = (id: string) => after.has(id) && before.settingsOf(id) !== after.settingsOf(id)
  const changed = await chosen(before, differs, clock)
  return {
    keys: after.size,
    keysGone: gone.length,
    keysCome: come.length,
    keysChanged: changed.length,
    gone: gone.slice(0, MOST_LISTED),
    come: come.slice(0, MOST_LISTED),
    changed: changed.slice(0, MOST_LISTED),
  }
}

/** The keys for which `choose` holds. In pieces, because exchanges go first. */
async function chosen(
  index: DirectoryIndex,
  choose: (id: string) => boolean,
  clock: Clock,
): Promise<string[]> {
  const ids: string[] = []
  let compared = 0
  for (const id of index.keyIds()) {
    if (choose(id)) ids.push(id)
    if (++compared % COMPARED_AT_ONCE === 0) await clock.sleep(0)
  }
  return ids
}
