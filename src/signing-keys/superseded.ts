import type { SigningKey } from './signing-key.ts'

/**
 * The kids of genuine rows that were put back into the database: an algorithm has one active and one standby key. A key
 * becomes active later than the one before, and a standby is made when the one before has left, so the newest counts.
 */
export function supersededKids(keys: readonly SigningKey[]): ReadonlySet<string> {
  const newest = new Map<string, SigningKey>()
  const superseded = new Set<string>()
  for (const key of keys) {
    if (key.state !== 'active' && key.state !== 'standby') continue
    const place = `${key.alg} ${key.state}`
    const other = newest.get(place)
    const older = other && (isNewer(key, other) ? other : key)
    if (older) superseded.add(older.kid)
    if (older !== key) newest.set(place, key)
  }
  return superseded
}

/** The kid decides between equal instants, so that all replicas choose the same. */
function isNewer(one: SigningKey, other: SigningKey): boolean {
  const rank = ({ state, activatesAt, publishedAt }: SigningKey) =>
    state === 'active' ? [activatesAt ?? 0, publishedAt] : [publishedAt, activatesAt ?? 0]
  const [a, b] = [rank(one), rank(other)]
  for (const [place, value] of a.entries()) if (value !== b[place]) return value > (b[place] ?? 0)
  return one.kid > other.kid
}
