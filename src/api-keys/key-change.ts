import type { Actor, FieldChanges } from '../audit/audit-event.ts'
import { type Mutation, mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import { Conflict, Invalid, NotFound } from '../errors.ts'
import type { Policy } from '../installation/policy.ts'
import { registeredModels } from '../tenants/model-repository.ts'
import type { Tenant } from '../tenants/tenant.ts'
import { refuseTooManyEnds } from '../tenants/token-epoch-bounds.ts'
import { revokeTokensOfKeys } from '../tenants/token-epoch-repository.ts'
import { type ApiKey, keyVersion } from './api-key.ts'
import { findApiKey, lockApiKey } from './api-key-repository.ts'
import { keyFaults } from './key-limits.ts'
import type { ApiKeySettings, KeyPatch } from './key-settings.ts'

/**
 * Changes one key under its row lock and audits it, unless `work` returns undefined for "nothing changed". `now` is the
 * database time at the lock, in epoch milliseconds. Returns the key after the change. @throws {NotFound}
 */
export async function changeKey(
  database: Database,
  actor: Actor,
  id: string,
  action: `key.${string}`,
  work: (mutation: Mutation, key: ApiKey, now: number) => Promise<FieldChanges | undefined>,
): Promise<ApiKey> {
  return mutate(database, actor, async mutation => {
    const locked = await lockApiKey(mutation.trx, id)
    if (!locked) throw new NotFound('key', id)
    mutation.found(keyVersion(locked.key))
    const changes = await work(mutation, locked.key, locked.now)
    if (changes === undefined) return locked.key
    const { tenantId } = locked.key
    mutation.record({ action, targetKind: 'key', targetId: id, tenantId, changes }, { kind: 'key', id })
    return getKey(mutation.trx, id)
  })
}

/** @throws {NotFound} */
export async function getKey(db: Handle, id: string): Promise<ApiKey> {
  const key = await findApiKey(db, id)
  if (!key) throw new NotFound('key', id)
  return key
}

/** Revokes all issued tokens of the key, whose row is locked. Returns what the audit trail says. @throws {TooMany} */
export async function revokeTokens(
  trx: Handle,
  actor: Actor,
  id: string,
  reason: string,
): Promise<FieldChanges> {
  await refuseTooManyEnds(trx, actor, { key: id })
  await revokeTokensOfKeys(trx, [id], reason)
  return { tokens: { to: 'ended' } }
}

/** @throws {Conflict} */
export function refuseRevoked(key: ApiKey): void {
  if (key.revokedAt) throw new Conflict('key_revoked', 'The key is revoked permanently. Create a new key.')
}

/** @throws {Invalid} when the key would exceed its tenant's rights, or the policy. */
export async function checkSettings(
  trx: Handle,
  settings: ApiKeySettings,
  given: KeyPatch,
  limits: { tenant: Tenant; policy: Policy; now: number },
): Promise<void> {
  const models = limits.tenant.models ?? (await registeredModels(trx))
  const faults = keyFaults(settings, given, { ...limits, models })
  if (faults.length > 0) throw new Invalid(faults)
}
