import { pruneProofs } from '../api-keys/imported/secret-proof-repository.ts'
import { pruneUsage } from '../authentication/deferred-repository.ts'
import { pruneUsedAssertions } from '../authentication/used-assertion-repository.ts'
import { pruneChangeFeed } from '../database/change-feed.ts'
import { pruneIdempotencyKeys } from '../idempotency/idempotency-key-repository.ts'
import { pruneTokenRevocations } from '../token-revocations/token-revocation-repository.ts'
import type { Parts } from './parts.ts'

/** How long an entry stays on the deny list after its end. Each time some ended, gateways are sent the list again. */
const ENDED_MS = 60_000
const HOURLY_MS = 3_600_000

type HeldParts = Pick<Parts, 'storage' | 'directory' | 'signing'>

/** Removes what is no longer needed, in memory and in the database. `every`: schedules a named job. */
export function scheduleRemovals(
  every: (ms: number, what: string, work: () => Promise<unknown>) => void,
  parts: HeldParts,
): void {
  const { directory, storage } = parts
  every(ENDED_MS, 'remove revocations that ended', async () =>
    directory.denyList.removeEnded(storage.time.now()),
  )
  every(HOURLY_MS, 'remove expired records', () => removeExpired(parts))
}

async function removeExpired({ storage: { database, time }, directory, signing }: HeldParts): Promise<void> {
  directory.copy.removeEnded(time.now())
  await database.run(pruneChangeFeed)
  await database.run(pruneIdempotencyKeys)
  await database.run(pruneUsage)
  await database.run(pruneProofs)
  await database.run(pruneTokenRevocations)
  await database.run(pruneUsedAssertions)
  await signing.replicas.prune()
}
