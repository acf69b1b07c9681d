import type { Handle } from '../database/database.ts'
import { Conflict } from '../errors.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { ApiKey, ApiKeySecret } from './api-key.ts'
import { setSecretEnd } from './api-key-repository.ts'
import { keyTerm, secretState, secretTerm, usableSecrets } from './key-state.ts'

/** Which of two live secrets a rotation ends at once; null: none, which allows one live secret at most. */
type Replace = 'oldest' | 'newest' | null

/** `confirmWithinSeconds`: the older secret stays valid until the new one is confirmed or used, within this time; null: not so. */
export interface Rotation {
  overlapSeconds: number
  replace: Replace
  confirmWithinSeconds: number | null
}

const MAX_LIVE_SECRETS = 2

/**
 * Ends the replaced secret now and the remaining one after `overlapSeconds`, to make room for a new secret; the remaining
 * one stays valid when the new secret is to be confirmed. `now` is
 * the database time in epoch milliseconds. Returns the ended secrets and their latest end. @throws {Conflict} with two
 * live secrets and none to replace.
 */
export async function endOlderSecrets(
  trx: Handle,
  seals: RowSeals,
  key: ApiKey,
  now: number,
  { overlapSeconds, replace, confirmWithinSeconds }: Rotation,
): Promise<{ id: string; endsAt: string }[]> {
  const live = usableSecrets(key, now)
  if (live.length >= MAX_LIVE_SECRETS && replace === null) {
    const stateOf = (secret: ApiKeySecret) => secretState(secretTerm(secret), keyTerm(key), now)
    const states = live.map(secret => `${secret.id} (${stateOf(secret)})`).join(' and ')
    throw new Conflict(
      'two_live_secrets',
      `The key has two live secrets, ${states}. Send "replace": "oldest" or "newest" to revoke one of them.`,
    )
  }
  const replaced = live.length < MAX_LIVE_SECRETS ? undefined : replace === 'newest' ? live.at(-1) : live[0]
  const ends: { id: string; endsAt: string }[] = []
  for (const secret of live) {
    if (secret !== replaced && confirmWithinSeconds !== null) continue
    const endsAt = new Date(now + (secret === replaced ? 0 : overlapSeconds) * 1000)
    await setSecretEnd(trx, seals, secret, endsAt)
    ends.push({ id: secret.id, endsAt: endsAt.toISOString() })
  }
  return ends
}

/** Until when the new secret of a rotation at `now` waits to be confirmed; undefined: it does not wait. */
export function pendingUntil(
  now: number,
  { confirmWithinSeconds, overlapSeconds }: Rotation,
): { confirmBy: Date; overlapSeconds: number } | undefined {
  if (confirmWithinSeconds === null) return undefined
  return { confirmBy: new Date(now + confirmWithinSeconds * 1000), overlapSeconds }
}
