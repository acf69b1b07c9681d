import type { Handle } from '../database/database.ts'
import { Conflict } from '../errors.ts'
import type { Policy } from '../installation/policy.ts'
import type { ApiKey } from './api-key.ts'
import type { ApiKeySettings } from './key-settings.ts'
import { isOver, keyState, keyTerm } from './key-state.ts'
import { countLiveKeys, lockKeyCount } from './live-keys-repository.ts'

/**
 * Rejects a change after which the tenant has more live keys than the policy allows. Called in the transaction of the change, after it and
 * last: the lock is held until the commit, so two changes cannot both take the last place.
 * @throws {Conflict}
 */
export async function refuseTooManyKeys(trx: Handle, tenantId: string, policy: Policy): Promise<void> {
  const limit = policy.maxLiveKeysPerTenant
  await lockKeyCount(trx, tenantId)
  if ((await countLiveKeys(trx, tenantId, limit + 1)) <= limit) return
  throw new Conflict(
    'too_many_keys',
    `The tenant "${tenantId}" would have more than ${limit} live keys, the limit of the policy (max_live_keys_per_tenant). ` +
      'Revoke keys that are not used, or ask an operator of the installation to raise the limit.',
  )
}

/** Whether an expired key is live again with these settings. `now` in epoch milliseconds. */
export const isRevived = (before: ApiKey, { expiresAt }: ApiKeySettings, now: number): boolean =>
  keyState(keyTerm(before), now) === 'expired' && !isOver(expiresAt?.getTime() ?? null, now)

/** How many more keys the tenant may have. */
export async function roomForKeys(db: Handle, tenantId: string, policy: Policy): Promise<number> {
  const limit = policy.maxLiveKeysPerTenant
  return limit - (await countLiveKeys(db, tenantId, limit))
}
