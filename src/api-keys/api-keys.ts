import { type Actor, fieldChanges } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { Conflict, NotFound } from '../errors.ts'
import { holdPepper, readInstallation } from '../installation/installation.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { Random } from '../system/random.ts'
import { registeredModels } from '../tenants/model-repository.ts'
import { type EffectiveRights, effectiveRights } from '../tenants/rights.ts'
import { settingsOf } from '../tenants/setting.ts'
import { findTenants } from '../tenants/tenant-repository.ts'
import { getTenant } from '../tenants/tenants.ts'
import { tierPriorities, tierRights } from '../tenants/tier-repository.ts'
import { areTokensRevoked } from '../tenants/token-epoch-repository.ts'
import { type ApiKey, formatCredential, randomId } from './api-key.ts'
import { insertSecret, listUsage, setDisabled, setSecretRevoked, updateApiKey } from './api-key-repository.ts'
import { type Inspection, inspectSecret } from './inspection.ts'
import { changeKey, checkSettings, getKey, refuseRevoked, revokeTokens } from './key-change.ts'
import type { KeyDigests } from './key-digest.ts'
import type { KeyFilter } from './key-filter.ts'
import { listApiKeys } from './key-list-repository.ts'
import { setRevoked } from './key-revocation-repository.ts'
import { revocationChanges } from './key-revocations.ts'
import { KEY_SETTINGS, type KeyPatch, patchedSettings } from './key-settings.ts'
import { keyState, keyTerm } from './key-state.ts'
import { isRevived, refuseTooManyKeys } from './live-keys.ts'
import { insertKey } from './new-key.ts'
import { insertPending, type PendingSecret } from './pending-secret-repository.ts'
import { refuseWidening } from './restriction.ts'
import { endOlderSecrets, pendingUntil, type Rotation } from './secret-rotation.ts'

/** A new secret. It is not stored, so it can be shown only once. */
export interface IssuedSecret {
  key: ApiKey
  secretId: string
  secret: string
}

/** Operations on API keys. */
export class ApiKeys {
  readonly #database: Database
  readonly #digests: KeyDigests
  readonly #seals: RowSeals
  readonly #random: Random
  readonly #tokenTtlSeconds: number

  constructor(options: {
    database: Database
    digests: KeyDigests
    seals: RowSeals
    random: Random
    tokenTtlSeconds: number
  }) {
    this.#database = options.database
    this.#digests = options.digests
    this.#seals = options.seals
    this.#random = options.random
    this.#tokenTtlSeconds = options.tokenTtlSeconds
  }

  /** @throws {NotFound} */
  get(id: string): Promise<ApiKey> {
    return this.#database.run(db => getKey(db, id))
  }

  /** Lists keys of one tenant, or of all. @throws {NotFound} when the tenant does not exist. */
  list(filter: KeyFilter, page: PageRequest): Promise<Page<ApiKey>> {
    return this.#database.run(async db => {
      if (filter.tenantId !== undefined) await getTenant(db, filter.tenantId)
      return listApiKeys(db, filter, page)
    })
  }

  /** Identifies the key of a string, in any state, without counting as a use. */
  inspect(presented: string): Promise<Inspection> {
    return inspectSecret(this.#database, this.#digests, presented)
  }

  /** Exchanges and rejections of the last `days`, by UTC day; a few seconds late. */
  usage(id: string, days: number): Promise<{ day: string; outcome: string; count: number }[]> {
    return this.#database.run(db => listUsage(db, id, days))
  }

  /** The effective rights by key id, and the database time that states are computed at. */
  effective(keys: readonly ApiKey[]): Promise<{ rights: Map<string, EffectiveRights>; now: number }> {
    return this.#database.readSnapshot(async db => {
      const catalogue = {
        ...(await tierRights(db)),
        models: await registeredModels(db),
        tokenTtlSeconds: this.#tokenTtlSeconds,
      }
      const tenants = await findTenants(db, [...new Set(keys.map(key => key.tenantId))])
      const rights = keys.flatMap(key => {
        const tenant = tenants.get(key.tenantId)
        return tenant ? [[key.id, effectiveRights(tenant, key, catalogue)] as const] : []
      })
      return { rights: new Map(rights), now: await databaseNow(db) }
    })
  }

  /**
   * @throws {NotFound} for an unknown tenant. @throws {Invalid} when the key would exceed its tenant's rights.
   * @throws {Conflict} when the tenant has as many live keys as the policy allows.
   */
  async create(actor: Actor, tenantId: string, given: KeyPatch): Promise<IssuedSecret> {
    return mutate(this.#database, actor, async mutation => {
      const { trx, record } = mutation
      const { id, settings } = await insertKey(trx, this.#random, { tenantId, actor, given })
      const issued = await this.#addSecret(trx, id, { createdBy: actor.id, byRotation: false })
      const changes = fieldChanges(undefined, { ...settings, secretId: issued.secretId })
      record(
        { action: 'key.create', targetKind: 'key', targetId: id, tenantId, changes },
        { kind: 'key', id },
      )
      return issued
    })
  }

  /**
   * `restrictOnly`: the caller may restrict the key's rights but not extend them. `withTokens`: also revokes issued tokens.
   * @throws {NotFound} @throws {Conflict} on a revoked key, and where an expired one would be one too many.
   * @throws {Invalid} @throws {Forbidden}
   */
  async update(
    actor: Actor,
    id: string,
    patch: KeyPatch,
    { restrictOnly = false, withTokens = false }: { restrictOnly?: boolean; withTokens?: boolean } = {},
  ): Promise<ApiKey> {
    return changeKey(this.#database, actor, id, 'key.update', async ({ trx }, before, now) => {
      refuseRevoked(before)
      const settings = patchedSettings(before, patch)
      const changes = fieldChanges(settingsOf(KEY_SETTINGS, before), settings)
      const ended = withTokens ? await revokeTokens(trx, actor, id, 'key updated') : undefined
      if (Object.keys(changes).length === 0) return ended
      const tenant = await getTenant(trx, before.tenantId)
      const { policy } = await readInstallation(trx)
      await checkSettings(trx, settings, patch, { tenant, policy, now })
      if (restrictOnly) refuseWidening(tenant, before, settings, await tierPriorities(trx))
      await updateApiKey(trx, id, settings)
      if (isRevived(before, settings, now)) await refuseTooManyKeys(trx, before.tenantId, policy)
      return { ...changes, ...ended }
    })
  }

  /**
   * Rejects exchanges until `enable`. Idempotent. `withTokens`: also revokes issued tokens.
   * @throws {NotFound} @throws {Conflict} on a revoked key.
   */
  disable(actor: Actor, id: string, { withTokens = false }: { withTokens?: boolean } = {}): Promise<ApiKey> {
    return this.#setDisabled(actor, id, true, withTokens)
  }

  /** Idempotent. @throws {NotFound} @throws {Conflict} on a revoked key. */
  enable(actor: Actor, id: string): Promise<ApiKey> {
    return this.#setDisabled(actor, id, false)
  }

  #setDisabled(actor: Actor, id: string, disabled: boolean, withTokens = false): Promise<ApiKey> {
    const action = disabled ? 'key.disable' : 'key.enable'
    return changeKey(this.#database, actor, id, action, async ({ trx }, key) => {
      refuseRevoked(key)
      const isSame = Boolean(key.disabledAt) === disabled
      if (!isSame) await setDisabled(trx, id, disabled)
      // A repeated call ends nothing again: no limit of writes holds for what takes a right away.
      const isEnded = isSame && key.disabledAt && (await areTokensRevoked(trx, id, key.disabledAt))
      const ended = withTokens && !isEnded ? await revokeTokens(trx, actor, id, 'key disabled') : undefined
      return isSame ? ended : (ended ?? {})
    })
  }

  /** Revokes the key and all its secrets, irreversibly. Idempotent: the first reason is kept. @throws {NotFound} */
  revoke(actor: Actor, id: string, reason: string | null): Promise<ApiKey> {
    return changeKey(this.#database, actor, id, 'key.revoke', async ({ trx }, key) => {
      if (key.revokedAt) return undefined
      await setRevoked(trx, this.#seals, [id], reason)
      return revocationChanges(key, reason)
    })
  }

  /** Revokes one secret at once. Idempotent. @throws {NotFound} */
  revokeSecret(actor: Actor, id: string, secretId: string): Promise<ApiKey> {
    return changeKey(this.#database, actor, id, 'key.secret-revoke', async ({ trx }, key) => {
      const secret = key.secrets.find(candidate => candidate.id === secretId)
      if (!secret) throw new NotFound('secret of this key', secretId)
      if (secret.revokedAt) return undefined
      await setSecretRevoked(trx, this.#seals, secret)
      return { secretId: { to: secretId } }
    })
  }

  /**
   * Adds a secret; the older one ends after `overlapSeconds`, so that clients can switch without an outage. With
   * `confirmWithinSeconds` it stays valid instead, until the new one is confirmed or used (secret-confirmations.ts).
   * @throws {NotFound} @throws {Conflict} on a revoked or expired key, and with two live secrets without `replace`.
   */
  async rotate(actor: Actor, id: string, options: Rotation): Promise<IssuedSecret> {
    let issued: IssuedSecret | undefined
    await changeKey(this.#database, actor, id, 'key.rotate', async ({ trx }, key, now) => {
      refuseRevoked(key)
      if (keyState(keyTerm(key), now) === 'expired') {
        throw new Conflict('key_expired', 'The key has expired. Set a later expires_at first, then rotate.')
      }
      const ends = await endOlderSecrets(trx, this.#seals, key, now, options)
      issued = await this.#addSecret(
        trx,
        id,
        { createdBy: actor.id, byRotation: true },
        pendingUntil(now, options),
      )
      return { secretId: { to: issued.secretId }, ...(ends.length > 0 && { secretEnds: { to: ends } }) }
    })
    if (!issued) throw new Error('the rotation created no secret')
    return issued
  }

  async #addSecret(
    trx: Handle,
    keyId: string,
    origin: { createdBy: string; byRotation: boolean },
    pending?: Omit<PendingSecret, 'secretId'>,
  ): Promise<IssuedSecret> {
    const secret = formatCredential('mmk', keyId.slice('key_'.length), this.#random)
    const secretId = `sec_${randomId(this.#random)}`
    await holdPepper(trx, this.#digests.storing)
    await insertSecret(trx, { id: secretId, keyId, ...origin, ...this.#digests.forStoring(secret) })
    if (pending) await insertPending(trx, { secretId, ...pending })
    return { key: await getKey(trx, keyId), secretId, secret }
  }
}
