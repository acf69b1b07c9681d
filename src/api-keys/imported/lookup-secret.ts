import type { Fault } from '../../errors.ts'
import type { ImportedScheme } from './imported-hash.ts'

/**
 * Imported secrets that are presented without a client_id, as keys of an API gateway are. They have no checksum, so they are
 * found in memory only. docs/decisions/0027-keys-that-teams-already-have.md
 */

export const LOOKUP_SCHEME = 'sha256-lookup' satisfies ImportedScheme

/** A shorter secret is not looked up, whatever was imported: random strings of 22 characters have 128 bits. */
const SHORTEST = 25
/** Longer than any key of a gateway; the form of a request to the token endpoint is longer. */
const LONGEST = 512

/** Whether a presented secret that is not a Mintmark key may be one. What begins as a credential of Mintmark is a mistyped one. */
export const mayBeLookup = (secret: string): boolean =>
  secret.length >= SHORTEST && secret.length <= LONGEST && !/^mm[a-z]_/.test(secret)

/** They move clients to Mintmark, and end. */
const LOOKUP_LONGEST_DAYS = 180
const DAY_MS = 86_400_000
/** Tolerance of a minute, for the clock of the caller. */
const CLOCK_GRACE_MS = 60_000

export const latestLookupEnd = (now: number): Date => new Date(now + LOOKUP_LONGEST_DAYS * DAY_MS)

/** `endsAt` of an imported secret; undefined: not given. `now` in epoch milliseconds. */
export function secretEndFaults(lookup: boolean, endsAt: Date | undefined, now: number): Fault[] {
  if (endsAt === undefined) return []
  const pointer = '/ends_at'
  if (!lookup) return [{ pointer, message: 'is only for secrets with lookup. Set expires_at instead' }]
  if (endsAt.getTime() <= now) return [{ pointer, message: 'must be in the future' }]
  if (endsAt.getTime() <= latestLookupEnd(now).getTime() + CLOCK_GRACE_MS) return []
  return [{ pointer, message: `must be at most ${LOOKUP_LONGEST_DAYS} days from now` }]
}
