import type { KeyDigests } from '../api-keys/key-digest.ts'
import { Authenticator } from '../authentication/authenticator.ts'
import { DeferredWrites } from '../authentication/deferred-writes.ts'
import { ImportedSecrets } from '../authentication/imported-secrets.ts'
import type { Config } from '../config/config.ts'
import { FailureLimit } from '../system/failure-limit.ts'
import type { FollowedDirectory } from './directory.ts'
import type { Storage, System } from './storage.ts'

/** Who checks what a client presents, and what an exchange leaves to be written. */
export function buildAuthentication(
  config: Config,
  { clock, random }: System,
  { database, time }: Storage,
  { directory, follower }: FollowedDirectory,
  digests: KeyDigests,
) {
  const redigested = (from: string, to: string) => follower.redigest(from, to)
  const deferred = new DeferredWrites({ database, clock, pepper: digests.storing, redigested })
  const failures = new FailureLimit({ perMinute: config.failuresPerMinute })
  const imported = new ImportedSecrets({ directory, failures, clock, random })
  const now = () => time.now()
  const authenticator = new Authenticator({ digests, directory, failures, imported, deferred, now })
  return { authenticator, deferred }
}
