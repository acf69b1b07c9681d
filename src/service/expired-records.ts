import { pruneProofs } from '../api-keys/imported/secret-proof-repository.ts'
import { pruneUsage } from '../authentication/deferred-repository.ts'
import { pruneUsedAssertions } from '../authentication/used-assertion-repository.ts'
import { pruneChangeFeed } from '../database/change-feed.ts'
import { pruneIdempotencyKeys } from '../idempotency/idempotency-key-repository.ts'
import { pruneTokenRevocations } from '../token-revocations/token-revocation-repository.ts'
import type { Parts } from './parts.ts'

/** Removes what is no longer needed, in memory and in the database. */
export async function removeExpired({
  storage: { database, time },
  directory,
  signing,
}: Pick<Parts, 'storage' | 'directory' | 'signing'>): Promise<void> {
  directory.copy.removeEnded(time.now())
  await database.run(pruneChangeFeed)
  await database.run(pruneIdempotencyKeys)
  await database.run(pruneUsage)
  await database.run(pruneProofs)
  await database.run(pruneTokenRevocations)
  await database.run(pruneUsedAssertions)
  await signing.replicas.prune()
}
