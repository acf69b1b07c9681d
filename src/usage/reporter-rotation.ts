import type { Handle } from '../database/database.ts'
import { Conflict } from '../errors.ts'
import type { UsageReporter } from './usage-reporter.ts'
import {
  type NewSecret,
  olderSecret,
  replaceSecret,
  setReporterSecretEnd,
} from './usage-reporter-repository.ts'

/** `replace`: which of two live secrets ends at once; null: none, which allows one live secret at most. */
export interface ReporterRotation {
  overlapSeconds: number
  replace: 'oldest' | 'newest' | null
}

/**
 * Puts this secret in the place of the newest one, as a rotation of a key does (api-keys/secret-rotation.ts): the one before it ends
 * after `overlapSeconds`, a replaced one now. The reporter is locked. Returns what ends, and when. @throws {Conflict}
 */
export async function rotateSecret(
  trx: Handle,
  reporter: UsageReporter,
  next: NewSecret,
  { overlapSeconds, replace }: ReporterRotation,
): Promise<{ id: string; endsAt: string }[]> {
  const { now, older } = await olderSecret(trx, reporter.id)
  if (older !== undefined && replace === null)
    throw new Conflict(
      'two_live_secrets',
      'The usage reporter has two live secrets. Send "replace": "oldest" or "newest" to revoke one of them.',
    )
  const [atOnce, later] = [new Date(now), new Date(now + overlapSeconds * 1000)]
  const keepsOlder = older !== undefined && replace === 'newest'
  if (older !== undefined) await setReporterSecretEnd(trx, older, keepsOlder ? later : atOnce)
  await replaceSecret(trx, reporter, keepsOlder ? atOnce : later, next)
  const ends = [{ id: reporter.secretId, endsAt: (keepsOlder ? atOnce : later).toISOString() }]
  if (older !== undefined) ends.push({ id: older, endsAt: (keepsOlder ? later : atOnce).toISOString() })
  return ends
}
