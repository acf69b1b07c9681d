import type { Actor } from '../audit/audit-event.ts'
import type { Handle } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import { readInstallation } from '../installation/installation.ts'
import type { Random } from '../system/random.ts'
import { getTenant } from '../tenants/tenants.ts'
import { refuseKeysAfterEnds } from '../tenants/token-epoch-bounds.ts'
import { randomId } from './api-key.ts'
import { insertApiKeys } from './api-key-repository.ts'
import { checkSettings } from './key-change.ts'
import { latestEnd, longestLifetime } from './key-limits.ts'
import { type ApiKeySettings, defaultKeySettings, type KeyPatch, patchedSettings } from './key-settings.ts'
import { refuseTooManyKeys } from './live-keys.ts'

/**
 * Inserts a key without a credential. The caller adds one, and audits.
 * @throws {NotFound} for an unknown tenant. @throws {Invalid} when the key would exceed its tenant's rights.
 * @throws {Conflict} when the tenant has as many live keys as the policy allows. @throws {TooMany}
 */
export async function insertKey(
  trx: Handle,
  random: Random,
  { tenantId, actor, given }: { tenantId: string; actor: Actor; given: KeyPatch },
): Promise<{ id: string; settings: ApiKeySettings }> {
  const tenant = await getTenant(trx, tenantId)
  await refuseKeysAfterEnds(trx, actor)
  const now = await databaseNow(trx)
  const { policy } = await readInstallation(trx)
  const end = latestEnd(longestLifetime(policy, tenant), now)
  const settings = patchedSettings(defaultKeySettings(end), given)
  // The tenant must also have the default scope, and the policy may require a contact.
  const { scopes, contact } = settings
  await checkSettings(trx, settings, { ...given, scopes, contact }, { tenant, policy, now })
  const id = `key_${randomId(random)}`
  await insertApiKeys(trx, [{ id, tenantId, createdBy: actor.id, settings }])
  await refuseTooManyKeys(trx, tenantId, policy)
  return { id, settings }
}
