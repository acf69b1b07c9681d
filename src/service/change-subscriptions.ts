import { reaction } from '../database/change-subscriber.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { Parts } from './parts.ts'

/**
 * Everything in this process that follows the change feed, in the order in which changes are applied. The directory comes
 * before key statuses, which query it; then the caches derived from it; the policy comes before the rotation and the
 * signing keys, which depend on it. All but the signing keys are updated at the same instant: private keys take a
 * moment to decrypt, so they are read right after.
 *
 * What this process commits is applied before the request is answered.
 */
export function subscribeToChanges(parts: Parts, jobs: BackgroundJobs): void {
  const { storage, follower, trust, policy, directory, gateway, usage } = parts
  follower.subscribe([
    trust.tombstones,
    directory.copy,
    directory.identities,
    directory.denyList,
    directory.introspectors,
    reaction(update => directory.fallback.note(update)),
    reaction(update => directory.keyStatuses.note(update)),
    reaction(() => gateway.issued.clear()),
    policy,
    usage.reporters,
    reaction(() => jobs.scheduleRotation(), ['installation']),
    reaction(update => jobs.readSigningKeys(update), ['signing-keys', 'installation']),
  ])
  storage.database.onCommit(changes => follower.settle(changes))
}
