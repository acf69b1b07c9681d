import { randomId } from '../api-keys/api-key.ts'
import { changeKey, getKey, refuseRevoked } from '../api-keys/key-change.ts'
import type { KeyPatch } from '../api-keys/key-settings.ts'
import { insertKey } from '../api-keys/new-key.ts'
import { type Actor, fieldChanges } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import { Conflict, Forbidden, Invalid, NotFound } from '../errors.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { Random } from '../system/random.ts'
import { ruleFaults } from './federated-rule.ts'
import { lockGenuineProvider } from './identity-provider-repository.ts'
import { keySetFaults } from './identity-providers.ts'
import {
  type CredentialSettings,
  type KeyCredential,
  MOST_CREDENTIALS,
  MOST_OF_A_TENANT,
} from './key-credential.ts'
import {
  countCredentials,
  credentialsOf,
  deleteCredential,
  insertCredential,
} from './key-credential-repository.ts'
import { areDisjoint, isWithinBounds } from './provider-bounds.ts'
import { MOST_CLIENT_KEYS } from './verification-key.ts'

/** `withinBounds`: the caller administers one tenant, and may add what is within the tenant's bounds. */
export interface CredentialLimits {
  withinBounds: boolean
}

/** As its column in the database. */
const LONGEST_DEFINITION = 32_768

/** Operations on the credentials of keys that are not secrets. */
export class KeyCredentials {
  readonly #database: Database
  readonly #random: Random
  readonly #seals: RowSeals

  constructor(options: { database: Database; random: Random; seals: RowSeals }) {
    this.#database = options.database
    this.#random = options.random
    this.#seals = options.seals
  }

  /** Newest first. @throws {NotFound} */
  list(keyId: string): Promise<KeyCredential[]> {
    return this.#database.run(async db => {
      await getKey(db, keyId)
      return credentialsOf(db, keyId)
    })
  }

  /**
   * @throws {NotFound} for an unknown key. @throws {Invalid} for a rule that accepts too much. @throws {Forbidden}
   * @throws {Conflict} on a revoked key, with too many credentials, and outside of bounds.
   */
  async create(
    actor: Actor,
    keyId: string,
    settings: CredentialSettings,
    limits: CredentialLimits,
  ): Promise<KeyCredential> {
    await checkKeys(settings)
    let created: KeyCredential | undefined
    await changeKey(this.#database, actor, keyId, 'key.credential-create', async ({ trx }, key) => {
      refuseRevoked(key)
      if ((await credentialsOf(trx, keyId)).length >= MOST_CREDENTIALS)
        throw new Conflict('too_many_credentials', `A key has at most ${MOST_CREDENTIALS} credentials.`)
      created = await this.#add(trx, actor, { keyId, tenantId: key.tenantId }, settings, limits)
      return fieldChanges(undefined, { credentialId: created.id, ...settings })
    })
    if (!created) throw new Error('the change created no credential')
    return created
  }

  /** A key without a secret, and with this credential, if any. @throws as `create`, and as for a key with a secret. */
  async createKey(
    actor: Actor,
    tenantId: string,
    given: KeyPatch,
    settings: CredentialSettings | null,
    limits: CredentialLimits,
  ): Promise<{ keyId: string; credential: KeyCredential | null }> {
    if (settings) await checkKeys(settings)
    return mutate(this.#database, actor, async ({ trx, record }) => {
      const created = await insertKey(trx, this.#random, { tenantId, actor, given })
      const keyId = created.id
      const credential = settings && (await this.#add(trx, actor, { keyId, tenantId }, settings, limits))
      const changes = fieldChanges(undefined, {
        ...created.settings,
        ...(credential && { credentialId: credential.id, credential: settings }),
      })
      record(
        { action: 'key.create', targetKind: 'key', targetId: keyId, tenantId, changes },
        { kind: 'key', id: keyId },
      )
      return { keyId, credential }
    })
  }

  /** It is not accepted any more. @throws {NotFound} */
  async delete(actor: Actor, keyId: string, id: string): Promise<void> {
    await changeKey(this.#database, actor, keyId, 'key.credential-delete', async ({ trx }) => {
      const credential = (await credentialsOf(trx, keyId)).find(each => each.id === id)
      if (!credential) throw new NotFound('credential of this key', id)
      await deleteCredential(trx, keyId, id)
      return { credentialId: { from: id } }
    })
  }

  async #add(
    trx: Handle,
    actor: Actor,
    key: { keyId: string; tenantId: string },
    settings: CredentialSettings,
    limits: CredentialLimits,
  ): Promise<KeyCredential> {
    if ((await countCredentials(trx, key.tenantId, MOST_OF_A_TENANT)) >= MOST_OF_A_TENANT)
      throw new Conflict(
        'too_many_credentials',
        `A tenant has at most ${MOST_OF_A_TENANT} credentials. Delete those of keys that are not used any more.`,
      )
    if (settings.type === 'federated') await checkRule(trx, this.#seals, key.tenantId, settings, limits)
    if (JSON.stringify(settings).length > LONGEST_DEFINITION)
      throw new Invalid([
        { pointer: '/claims', message: `must be shorter: a rule has ${LONGEST_DEFINITION} characters` },
      ])
    const id = `crd_${randomId(this.#random)}`
    return insertCredential(trx, this.#seals, { id, keyId: key.keyId, createdBy: actor.id, settings })
  }
}

async function checkKeys(settings: CredentialSettings): Promise<void> {
  const faults = settings.type === 'public_key' ? await keySetFaults(settings.jwks, MOST_CLIENT_KEYS) : []
  if (faults.length > 0) throw new Invalid(faults)
}

async function checkRule(
  trx: Handle,
  seals: RowSeals,
  tenantId: string,
  rule: CredentialSettings & { type: 'federated' },
  { withinBounds }: CredentialLimits,
): Promise<void> {
  const provider = await lockGenuineProvider(trx, seals, rule.providerId)
  if (!provider) throw new Invalid([{ pointer: '/provider', message: 'is not an identity provider' }])
  const faults = ruleFaults(provider.kind, rule)
  if (faults.length > 0) throw new Invalid(faults)
  const own = provider.bounds.filter(bounds => bounds.tenantId === tenantId)
  if (withinBounds && own.length === 0)
    throw new Forbidden('This provider is not open to the tenant. Contact the operator of this service.')
  if (own.length > 0 && !own.some(bounds => isWithinBounds(rule, bounds)))
    throw new Conflict(
      'credential_outside_bounds',
      'The credential accepts more than the bounds of the tenant. Name every claim of the bounds, with its values.',
    )
  if (provider.bounds.some(bounds => bounds.tenantId !== tenantId && !areDisjoint(bounds, rule)))
    throw new Conflict(
      'credential_outside_bounds',
      'The credential accepts identities that the provider reserves for another tenant.',
    )
}
