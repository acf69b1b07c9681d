import type { Clock } from '../system/clock.ts'
import type { DirectoryIndex } from './directory-index.ts'

/** Small enough not to delay exchanges noticeably. */
const COMPARED_AT_ONCE = 1_000
const MOST_LISTED = 100

/**
 * Compares the directory before and after a failover or restore: keys that are gone, keys that are back, and keys of
 * which the settings, or those of the tenant, differ (a lost suspension, for example).
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

/** The keys for which `choose` holds, computed in chunks so that exchanges are not delayed. */
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
