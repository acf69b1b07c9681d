import type { Actor } from '../audit/audit-event.ts'
import { fieldChanges } from '../audit/audit-event.ts'
import { type Mutation, mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { requireVersion } from '../database/version.ts'
import { Conflict, type Fault, Invalid, NotFound } from '../errors.ts'
import { readInstallation } from '../installation/installation.ts'
import { knownModels } from './model-repository.ts'
import { patched, settingsOf } from './setting.ts'
import { type Tenant, tenantFaults, tenantVersion } from './tenant.ts'
import {
  deleteTenant,
  findTenant,
  insertTenant,
  listTenants,
  lockTenant,
  setSuspended,
  updateTenant,
  wasDeleted,
} from './tenant-repository.ts'
import {
  defaultTenantSettings,
  TENANT_SETTINGS,
  type TenantPatch,
  type TenantSettings,
} from './tenant-settings.ts'
import { tierPriorities } from './tier-repository.ts'
import { revokeTokensOfTenant } from './token-epoch-repository.ts'

/** What is deleted with a tenant. */
export interface Dependents {
  keys: number
  /** Keys that are neither revoked nor expired. */
  liveKeys: number
  adminTokens: number
}

/** Counts a tenant's dependents. Injected, because key and token counts live in higher layers. */
export type CountDependents = (db: Handle, tenantId: string) => Promise<Dependents>

/** Operations on tenants. Changes apply from the next exchange on, to every key of the tenant. */
export class Tenants {
  readonly #database: Database
  readonly #defaultAudience: string
  readonly #countDependents: CountDependents

  constructor(options: { database: Database; defaultAudience: string; countDependents: CountDependents }) {
    this.#database = options.database
    this.#defaultAudience = options.defaultAudience
    this.#countDependents = options.countDependents
  }

  /** @throws {NotFound} */
  async get(id: string): Promise<Tenant> {
    return this.#database.run(db => getTenant(db, id))
  }

  /** All tenants, or the one with this id. */
  list(page: PageRequest, only: string | null = null): Promise<Page<Tenant>> {
    return this.#database.run(db => listTenants(db, page, only))
  }

  /** @throws {Invalid} @throws {Conflict} when the id is or was in use. */
  async create(actor: Actor, id: string, given: TenantPatch): Promise<Tenant> {
    const defaults = defaultTenantSettings(id, this.#defaultAudience)
    const settings = withPatch(defaults, { allowedTiers: null, ...given }, defaults)
    return mutate(this.#database, actor, async ({ trx, record }) => {
      if (await findTenant(trx, id)) {
        throw new Conflict('tenant_id_taken', `A tenant "${id}" already exists.`)
      }
      await check(trx, settings, null)
      await insertTenant(trx, id, settings)
      // Checked last: the insert waits for a concurrent deletion of the same id, whose record is visible now.
      if (await wasDeleted(trx, id)) {
        throw new Conflict(
          'tenant_id_taken',
          `A tenant "${id}" was deleted, and ids are never reused. Choose another id.`,
        )
      }
      const changes = fieldChanges(undefined, settings)
      record(
        { action: 'tenant.create', targetKind: 'tenant', targetId: id, tenantId: id, changes },
        { kind: 'tenant', id },
      )
      return getTenant(trx, id)
    })
  }

  /**
   * `withTokens`: also revokes issued tokens.
   * @throws {NotFound} @throws {Invalid} Restricting is always allowed: keys keep their lists and yield less.
   */
  async update(
    actor: Actor,
    id: string,
    patch: TenantPatch,
    { withTokens = false }: { withTokens?: boolean } = {},
  ): Promise<Tenant> {
    return mutate(this.#database, actor, async mutation => {
      const { trx, record } = mutation
      const before = await lockTarget(mutation, id)
      const defaults = defaultTenantSettings(id, this.#defaultAudience)
      const settings = withPatch(before, patch, defaults)
      const changed = fieldChanges(settingsOf(TENANT_SETTINGS, before), settings)
      if (Object.keys(changed).length === 0 && !withTokens) return before
      await check(trx, settings, before)
      await updateTenant(trx, id, settings)
      if (withTokens) await revokeTokensOfTenant(trx, id, 'tenant updated')
      const changes = { ...changed, ...(withTokens && { tokens: { to: 'ended' } }) }
      record(
        { action: 'tenant.update', targetKind: 'tenant', targetId: id, tenantId: id, changes },
        { kind: 'tenant', id },
      )
      return getTenant(trx, id)
    })
  }

  /** Rejects exchanges until `resume`, and revokes issued tokens; keys are not changed. Idempotent. @throws {NotFound} */
  suspend(actor: Actor, id: string): Promise<Tenant> {
    return this.#setSuspended(actor, id, true)
  }

  /** Idempotent. @throws {NotFound} */
  resume(actor: Actor, id: string): Promise<Tenant> {
    return this.#setSuspended(actor, id, false)
  }

  /** @throws {NotFound} @throws {Conflict} while keys are live, unless `cascade` ends them too. */
  async delete(actor: Actor, id: string, options: { cascade: boolean }): Promise<void> {
    await mutate(this.#database, actor, async mutation => {
      const { trx, record } = mutation
      const tenant = await lockTarget(mutation, id)
      const { liveKeys } = await this.#deletable(trx, id, options)
      await deleteTenant(trx, id)
      const changes = fieldChanges({ ...settingsOf(TENANT_SETTINGS, tenant), liveKeys }, undefined)
      record(
        { action: 'tenant.delete', targetKind: 'tenant', targetId: id, tenantId: id, changes },
        { kind: 'tenant', id },
      )
    })
  }

  /** The result that `delete` would have. @throws as `delete`. */
  rehearseDeletion(actor: Actor, id: string, options: { cascade: boolean }): Promise<Dependents> {
    return this.#database.readSnapshot(async trx => {
      const tenant = await getTenant(trx, id)
      requireVersion(actor.precondition ?? {}, tenantVersion(tenant))
      return this.#deletable(trx, id, options)
    })
  }

  async #deletable(trx: Handle, id: string, { cascade }: { cascade: boolean }): Promise<Dependents> {
    const dependents = await this.#countDependents(trx, id)
    const { liveKeys } = dependents
    if (liveKeys === 0 || cascade) return dependents
    throw new Conflict(
      'tenant_has_live_keys',
      `The tenant has ${liveKeys === 1 ? 'a live key' : `${liveKeys} live keys`}. Revoke its keys first, or repeat with ?cascade=true to revoke them too.`,
    )
  }

  async #setSuspended(actor: Actor, id: string, suspended: boolean): Promise<Tenant> {
    return mutate(this.#database, actor, async mutation => {
      const { trx, record } = mutation
      const before = await lockTarget(mutation, id)
      if ((before.suspendedAt !== null) === suspended) return before
      await setSuspended(trx, id, suspended)
      const action = suspended ? 'tenant.suspend' : 'tenant.resume'
      record(
        { action, targetKind: 'tenant', targetId: id, tenantId: id, changes: {} },
        { kind: 'tenant', id },
      )
      return getTenant(trx, id)
    })
  }
}

/** @throws {NotFound} */
export async function getTenant(db: Handle, id: string): Promise<Tenant> {
  const tenant = await findTenant(db, id)
  if (!tenant) throw new NotFound('tenant', id)
  return tenant
}

async function lockTarget({ trx, found }: Mutation, id: string): Promise<Tenant> {
  const tenant = await lockTenant(trx, id)
  if (!tenant) throw new NotFound('tenant', id)
  found(tenantVersion(tenant))
  return tenant
}

/** `before`: as it was; null: a new one. */
async function check(trx: Handle, settings: TenantSettings, before: TenantSettings | null): Promise<void> {
  const faults: Fault[] = tenantFaults(settings)
  const lacksContact = settings.contact === null && before?.contact !== null
  if (lacksContact && (await readInstallation(trx)).policy.contactRequired)
    faults.push({
      pointer: '/contact',
      message: 'must be set: the policy requires a contact (contact_required)',
    })
  const tiers = await tierPriorities(trx)
  // allowed_tiers may be derived from the tier, which is then the faulty field.
  if (!tiers.has(settings.tier)) faults.push(notRegistered('/tier', 'a tier', settings.tier))
  else faults.push(...unknown('/allowed_tiers', settings.allowedTiers, tiers, 'a tier'))
  const models = await knownModels(trx, 'model', settings.models ?? [])
  faults.push(...unknown('/models', settings.models ?? [], models, 'a base model'))
  const adapters = await knownModels(trx, 'adapter', settings.adapters)
  faults.push(...unknown('/adapters', settings.adapters, adapters, 'an adapter'))
  if (faults.length > 0) throw new Invalid(faults)
}

function unknown(
  pointer: string,
  names: readonly string[],
  known: { has(name: string): boolean },
  what: string,
): Fault[] {
  return names.flatMap((name, index) =>
    known.has(name) ? [] : notRegistered(`${pointer}/${index}`, what, name),
  )
}

function notRegistered(pointer: string, what: string, name: string): Fault {
  return { pointer, message: `names ${what} that is not registered: "${name}"` }
}

function withPatch(before: TenantSettings, patch: TenantPatch, defaults: TenantSettings): TenantSettings {
  const after = patched(TENANT_SETTINGS, before, patch, defaults)
  // Reset to its default, the list of allowed tiers contains only the tenant's tier.
  return patch.allowedTiers === null ? { ...after, allowedTiers: [after.tier] } : after
}
