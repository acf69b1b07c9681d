import { reaction } from '../database/change-subscriber.ts'
import type { BackgroundJobs } from './background-jobs.ts'
import type { Parts } from './parts.ts'

/**
 * Everything in this process that follows the change feed, and the order in which it applies a change: the directory
 * first, because key keyStatuses ask it what it lost; then what was derived from it and is dropped; the policy before the
 * rotation and the signing keys, which go by it. All but the signing keys are up to date at the same instant: private
 * halves take a moment to open, so the keys are read by themselves right after.
 *
 * What this process commits is applied before the request is answered.
 */
export function subscribeToChanges(parts: Parts, jobs: BackgroundJobs): void {
  const { storage, follower, policy, directory, gateway } = parts
  follower.subscribe([
    directory.copy,
    reaction(update => directory.fallback.note(update)),
    reaction(update => directory.keyStatuses.note(update)),
    reaction(() => gateway.minted.clear()),
    policy,
    reaction(() => jobs.scheduleRotation(), ['installation']),
    reaction(() => jobs.readSigningKeys(), ['signing-keys', 'installation']),
  ])
  storage.database.onCommit(changes => follower.settle(changes))
}
