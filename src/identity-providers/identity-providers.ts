import { randomId } from '../api-keys/api-key.ts'
import { type Actor, fieldChanges } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { Conflict, type Fault, Invalid, NotFound } from '../errors.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { Random } from '../system/random.ts'
import type { Secret } from '../system/secret.ts'
import { type FetchTokens, fetchTokenMark, type StoredFetchToken } from './fetching/fetch-tokens.ts'
import { tokenReceiver } from './fetching/key-source.ts'
import {
  areConfusable,
  type IdentityProvider,
  type ProviderSettings,
  providerFaults,
  providerVersion,
} from './identity-provider.ts'
import {
  countProviders,
  deleteProvider,
  findProvider,
  insertProvider,
  listProviders,
  lockGenuineProvider,
  lockProvider,
  lockProviders,
  providersOfIssuer,
  updateProvider,
} from './identity-provider-repository.ts'
import type { KeyCredential } from './key-credential.ts'
import { credentialsUnder } from './key-credential-repository.ts'
import { areDisjoint, isWithinBounds } from './provider-bounds.ts'
import { parseKeySet, UnusableKeys } from './verification-key.ts'

/** With the fetch token as it was given; undefined: none, or as before. */
export type ProviderInput = Omit<ProviderSettings, 'fetchToken'> & { fetchToken?: Secret | null }

/** Kind and issuer say what the credentials of a provider mean, so they never change. */
export type ProviderPatch = Partial<Omit<ProviderInput, 'kind' | 'issuer'>>

const MOST_PROVIDERS = 200
const CREDENTIALS_A_PAGE = 500
/** As its column in the database. */
const LONGEST_DEFINITION = 131_072
const LONGEST_KEY_SET = 30_000
const SEND_AGAIN =
  'must be sent again, or null to remove it, because the origin that it is sent to, ca_pem or allow_addresses would change'

/** Operations on identity providers. */
export class IdentityProviders {
  readonly #database: Database
  readonly #random: Random
  readonly #seals: RowSeals
  readonly #tokens: FetchTokens

  constructor(options: { database: Database; random: Random; seals: RowSeals; tokens: FetchTokens }) {
    this.#tokens = options.tokens
    this.#database = options.database
    this.#random = options.random
    this.#seals = options.seals
  }

  /** @throws {NotFound} */
  get(id: string): Promise<IdentityProvider> {
    return this.#database.run(async db => found(await findProvider(db, id), id))
  }

  list(page: PageRequest): Promise<Page<IdentityProvider>> {
    return this.#database.run(db => listProviders(db, page))
  }

  /** @throws {Invalid} @throws {Conflict} when an assertion could be another provider's as well. */
  async create(actor: Actor, given: ProviderInput): Promise<IdentityProvider> {
    const id = `idp_${randomId(this.#random)}`
    const settings = { ...given, ...this.#stored(id, given) }
    await check(settings)
    return mutate(this.#database, actor, async ({ trx, record }) => {
      await refuseConfusable(trx, settings)
      const provider = await insertProvider(trx, this.#seals, { id, createdBy: actor.id, settings })
      const changes = fieldChanges(undefined, audited(settings))
      record(
        { action: 'identity-provider.create', targetKind: 'identity-provider', targetId: id, changes },
        { kind: 'identity-provider', id },
      )
      return provider
    })
  }

  /** @throws {NotFound} @throws {Invalid} @throws {Conflict} also for a row that is not genuine. */
  async update(actor: Actor, id: string, patch: ProviderPatch): Promise<IdentityProvider> {
    return mutate(this.#database, actor, async ({ trx, record, found: foundVersion }) => {
      await lockProviders(trx)
      const before = found(await lockGenuineProvider(trx, this.#seals, id), id)
      foundVersion(providerVersion(before))
      const after = { ...before, ...patch, ...this.#stored(id, patch, before) }
      const { id: _id, createdBy: _by, createdAt: _at, updatedAt: _on, ...settings } = after
      await check(settings)
      const changes = fieldChanges(audited(before), audited(after))
      if (Object.keys(changes).length === 0) return before
      await refuseConfusable(trx, settings, id)
      await refuseOutside(trx, id, settings)
      const updated = await updateProvider(trx, this.#seals, id, settings)
      record(
        { action: 'identity-provider.update', targetKind: 'identity-provider', targetId: id, changes },
        { kind: 'identity-provider', id },
      )
      return updated
    })
  }

  /**
   * The fetch token as it is stored. A token that is kept goes where it went: no one who cannot send it again has it sent
   * elsewhere. @throws {Invalid}
   */
  #stored(
    id: string,
    { fetchToken, ...changed }: ProviderPatch,
    before?: ProviderSettings,
  ): { fetchToken: StoredFetchToken | null } {
    if (fetchToken === undefined) {
      if (before?.fetchToken && tokenReceiver({ ...before, ...changed }) !== tokenReceiver(before))
        throw new Invalid([{ pointer: '/fetch_token', message: SEND_AGAIN }])
      return { fetchToken: before?.fetchToken ?? null }
    }
    return { fetchToken: fetchToken && this.#tokens.encrypt(id, fetchToken) }
  }

  /** @throws {NotFound} @throws {Conflict} while a credential names it. */
  async delete(actor: Actor, id: string): Promise<void> {
    await mutate(this.#database, actor, async ({ trx, record, found: foundVersion }) => {
      const before = found(await lockProvider(trx, id), id)
      foundVersion(providerVersion(before))
      await deleteProvider(trx, id)
      record(
        { action: 'identity-provider.delete', targetKind: 'identity-provider', targetId: id, changes: {} },
        { kind: 'identity-provider', id },
      )
    })
  }
}

/** Without the token, in any form. */
const audited = (settings: ProviderSettings) => ({
  ...settings,
  fetchToken: settings.fetchToken ? fetchTokenMark(settings.fetchToken) : null,
})

function found(provider: IdentityProvider | undefined, id: string): IdentityProvider {
  if (!provider) throw new NotFound('identity provider', id)
  return provider
}

async function check(settings: ProviderSettings): Promise<void> {
  const faults = [
    ...providerFaults(settings),
    ...(settings.jwks === null ? [] : await keySetFaults(settings.jwks)),
  ]
  if (faults.length === 0 && JSON.stringify(settings).length > LONGEST_DEFINITION)
    faults.push({
      pointer: '/bounds',
      message: `must be shorter: a provider has ${LONGEST_DEFINITION} characters`,
    })
  if (faults.length > 0) throw new Invalid(faults)
}

/** Faults of a JWK Set in a request. */
export async function keySetFaults(jwks: unknown, most?: number): Promise<Fault[]> {
  try {
    await parseKeySet(jwks, most)
    if (JSON.stringify(jwks).length <= LONGEST_KEY_SET) return []
    return [{ pointer: '/jwks', message: `must have at most ${LONGEST_KEY_SET} characters` }]
  } catch (error) {
    if (!(error instanceof UnusableKeys)) throw error
    return [{ pointer: '/jwks', message: error.message }]
  }
}

async function refuseConfusable(trx: Handle, settings: ProviderSettings, id?: string): Promise<void> {
  await lockProviders(trx)
  if (id === undefined && (await countProviders(trx, MOST_PROVIDERS)) >= MOST_PROVIDERS)
    throw new Conflict(
      'too_many_identity_providers',
      `There are ${MOST_PROVIDERS} identity providers, which is the limit.`,
    )
  const others = (await providersOfIssuer(trx, settings.issuer, MOST_PROVIDERS + 1)).filter(
    other => other.id !== id,
  )
  const same = others.find(other => areConfusable(settings, other))
  if (same)
    throw new Conflict(
      'identity_provider_exists',
      `${same.id} has the same issuer and one of these audiences. Providers of one issuer need disjoint audiences.`,
    )
}

/** @throws {Conflict} when a credential that exists would be outside the bounds of its tenant, or inside another's. */
async function refuseOutside(trx: Handle, id: string, settings: ProviderSettings): Promise<void> {
  for (let after = ''; ; ) {
    const page = await credentialsUnder(trx, id, { after, limit: CREDENTIALS_A_PAGE })
    for (const each of page) checkBounds(each, settings)
    const last = page.at(-1)
    if (!last || page.length < CREDENTIALS_A_PAGE) return
    after = last.credential.id
  }
}

function checkBounds(
  { credential, tenantId }: { credential: KeyCredential; tenantId: string },
  { bounds }: ProviderSettings,
): void {
  const { settings } = credential
  if (settings.type !== 'federated') return
  const own = bounds.filter(each => each.tenantId === tenantId)
  const isOutside = own.length > 0 && !own.some(each => isWithinBounds(settings, each))
  const isForeign = bounds.some(each => each.tenantId !== tenantId && !areDisjoint(each, settings))
  if (isOutside || isForeign)
    throw new Conflict(
      'credential_outside_bounds',
      `${credential.id} of ${credential.keyId} would be ${isOutside ? 'outside the bounds of its tenant' : 'within the bounds of another tenant'}. Delete it first.`,
    )
}
