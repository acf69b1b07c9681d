import type { Handle } from '../database/database.ts'
import { Conflict } from '../errors.ts'
import { type ApiKey, secretState, usableSecrets } from './api-key.ts'
import { setSecretEnd } from './api-key-repository.ts'

/** Which of two live secrets a rotation ends at once; null: there must be room for one more. */
export type Replace = 'oldest' | 'newest' | null

const MAX_LIVE_SECRETS = 2

/**
 * Makes room for a new secret: the replaced one ends now, what is left has `overlapSeconds` more. `now` is the
 * database's time in epoch milliseconds. @throws {Conflict} with two live secrets and none to replace.
 */
export async function endOlderSecrets(
  trx: Handle,
  key: ApiKey,
  now: number,
  { overlapSeconds, replace }: { overlapSeconds: number; replace: Replace },
): Promise<void> {
  const live = usableSecrets(key, now)
  if (live.length >= MAX_LIVE_SECRETS && replace === null) {
    const states = live.map(secret => `${secret.id} (${secretState(secret, now)})`).join(' and ')
    throw new Conflict(
      'two_live_secrets',
      `The key has two live secrets, ${states}: say which one ends now with "replace": "oldest" or "newest", or revoke one.`,
    )
  }
  const replaced = live.length < MAX_LIVE_SECRETS ? undefined : replace === 'newest' ? live.at(-1) : live[0]
  for (const secret of live) {
    const overlap = secret === replaced ? 0 : overlapSeconds
    await setSecretEnd(trx, secret.id, new Date(now + overlap * 1000))
  }
}
