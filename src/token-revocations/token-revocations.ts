import { lockApiKey } from '../api-keys/api-key-repository.ts'
import type { Actor, AuditEvent } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Change } from '../database/change.ts'
import type { Database, Handle } from '../database/database.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { NotFound, Unavailable } from '../errors.ts'
import { lockTenant } from '../tenants/tenant-repository.ts'
import { refuseTooManyEnds } from '../tenants/token-epoch-bounds.ts'
import { holdersOf, revokeTokensOfKeys, revokeTokensOfTenant } from '../tenants/token-epoch-repository.ts'
import type { DenyList } from './deny-list.ts'
import type { DeniedClaim, Ended, TokenRevocation } from './token-revocation.ts'
import {
  countDeniedTokens,
  denyToken,
  findRevocation,
  listRevocations,
  newestRevocation,
} from './token-revocation-repository.ts'

/** Beyond it a client revokes all tokens of its key: the list has a bound for each key. */
const MOST_DENIED_TOKENS = 100
/** Of all keys of a tenant. */
const MOST_DENIED_OF_TENANT = 10_000
/** In one transaction. */
const MOST_RENEWED = 100

/** Operations on the deny list. */
export class TokenRevocations {
  readonly #database: Database
  readonly #denyList: DenyList

  constructor(options: { database: Database; denyList: DenyList }) {
    this.#database = options.database
    this.#denyList = options.denyList
  }

  /** An entry that has not ended. @throws {NotFound} */
  get(id: string): Promise<TokenRevocation> {
    return this.#database.run(db => getRevocation(db, id))
  }

  /** The newest entry that revokes all tokens of the key, or of the tenant itself. */
  newestOf(ended: { key: string } | { tenant: string }): Promise<TokenRevocation | undefined> {
    return this.#database.run(db => newestRevocation(db, ended))
  }

  /** Entries of one tenant, or all. Those that ended are not listed. */
  list(tenantId: string | null, page: PageRequest): Promise<Page<TokenRevocation>> {
    return this.#database.run(db => listRevocations(db, tenantId, page))
  }

  /**
   * Ends one token, or all tokens that were issued to a key or to the keys of a tenant; new ones are issued as before.
   * `tenantId`: a key of another tenant is not found. @throws {NotFound} @throws {TooMany} for authors who are bound to it.
   */
  async create(
    actor: Actor,
    ended: Ended,
    { reason, tenantId }: { reason: string | null; tenantId: string | null },
  ): Promise<TokenRevocation> {
    const revocation = await mutate(this.#database, actor, async ({ trx, record }) => {
      const { id, changes } = await end(trx, actor, ended, { reason, tenantId })
      const revocation = await getRevocation(trx, id)
      record(eventOf(revocation, ended), { kind: 'token-revocation', id }, ...changes)
      return revocation
    })
    this.#deny(revocation)
    return revocation
  }

  /**
   * Ends one token of a client that asked for it. Without effect when it is denied already.
   * @throws {Unavailable} when too many tokens of the key, or of its tenant, are denied one by one
   */
  async revokeOwn(actor: Actor, token: { jti: string; keyId: string; tenantId: string }): Promise<void> {
    const revocation = await mutate(this.#database, actor, async ({ trx, record }) => {
      // One at a time for each key, so that the bound holds.
      await lockApiKey(trx, token.keyId)
      const { id, isNew } = await denyToken(trx, { ...token, reason: 'revoked by its client' })
      if (!isNew) return undefined
      const isTooMany =
        (await isOver(trx, { key: token.keyId }, MOST_DENIED_TOKENS)) ||
        (await isOver(trx, { tenant: token.tenantId }, MOST_DENIED_OF_TENANT))
      if (isTooMany)
        throw new Unavailable(
          'Too many tokens of this key or tenant are revoked one by one. Have an administrator revoke all tokens of the key.',
          { retryAfterSeconds: 60 },
        )
      const revocation = await getRevocation(trx, id)
      record(eventOf(revocation, { jti: token.jti }), { kind: 'token-revocation', id })
      return revocation
    })
    if (revocation) this.#deny(revocation)
  }

  /**
   * After a restore of the database: gives a new epoch to keys and tenants whose epoch is denied, because their new tokens
   * would be rejected, and puts the old one on the list again.
   */
  async renewDenied(actor: Actor): Promise<void> {
    const denied = Map.groupBy(this.#denyList.contents, ({ claim }) => claim)
    const valuesOf = (claim: DeniedClaim) => (denied.get(claim) ?? []).map(({ value }) => value)
    const epochs = { ofKeys: valuesOf('key_epoch'), ofTenants: valuesOf('tenant_epoch') }
    if (epochs.ofKeys.length + epochs.ofTenants.length === 0) return
    for (let more = true; more; )
      more = await mutate(this.#database, actor, async ({ trx, record }) => {
        const { keyIds, tenantIds } = await holdersOf(trx, epochs, MOST_RENEWED)
        const all: Ended[] = [...keyIds.map(key => ({ key })), ...tenantIds.map(tenant => ({ tenant }))]
        for (const ended of all) {
          const { id, changes } = await end(trx, actor, ended, {
            reason: 'the database was restored',
            tenantId: null,
          })
          record(eventOf(await getRevocation(trx, id), ended), { kind: 'token-revocation', id }, ...changes)
        }
        return all.length >= MOST_RENEWED
      })
  }

  /** This process knows it from now on, also when it cannot read the change feed. */
  #deny({ claim, value, tenantId, endsAt }: TokenRevocation): void {
    this.#denyList.add([{ claim, value, tenantId, endsAt: endsAt.getTime() }])
  }
}

const isOver = async (trx: Handle, of: { key: string } | { tenant: string }, most: number) =>
  (await countDeniedTokens(trx, of, most + 1)) > most

async function getRevocation(db: Handle, id: string): Promise<TokenRevocation> {
  const revocation = await findRevocation(db, id)
  if (!revocation) throw new NotFound('token revocation', id)
  return revocation
}

/** The entry, and the objects with a new epoch. @throws {NotFound} @throws {TooMany} */
async function end(
  trx: Handle,
  actor: Actor,
  ended: Ended,
  { reason, tenantId }: { reason: string | null; tenantId: string | null },
): Promise<{ id: string; changes: Change[] }> {
  if ('jti' in ended) {
    const { id } = await denyToken(trx, { jti: ended.jti, keyId: null, tenantId: null, reason })
    return { id, changes: [] }
  }
  if ('key' in ended) {
    const locked = await lockApiKey(trx, ended.key)
    if (!locked || (tenantId !== null && locked.key.tenantId !== tenantId))
      throw new NotFound('key', ended.key)
    await refuseTooManyEnds(trx, actor, { key: ended.key })
    const [entry] = await revokeTokensOfKeys(trx, [ended.key], reason)
    return { id: entry?.id ?? '', changes: [{ kind: 'key', id: ended.key }] }
  }
  if (!(await lockTenant(trx, ended.tenant))) throw new NotFound('tenant', ended.tenant)
  await refuseTooManyEnds(trx, actor, { tenant: ended.tenant })
  const [entry] = await revokeTokensOfTenant(trx, ended.tenant, reason)
  return { id: entry?.id ?? '', changes: [{ kind: 'tenant', id: ended.tenant }] }
}

function eventOf(revocation: TokenRevocation, ended: Ended): AuditEvent {
  const { id, tenantId, reason, endsAt } = revocation
  const named = Object.fromEntries(Object.entries(ended).map(([name, to]) => [name, { to }]))
  return {
    action: 'token-revocation.create',
    targetKind: 'token-revocation',
    targetId: id,
    ...(tenantId !== null && { tenantId }),
    changes: { ...named, reason: { to: reason }, endsAt: { to: endsAt.toISOString() } },
  }
}
