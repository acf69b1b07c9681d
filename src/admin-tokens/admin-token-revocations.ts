import { type CreatedKeys, countCreated, findCreated, revokeCreated } from '../api-keys/created-keys.ts'
import { type Actor, fieldChanges } from '../audit/audit-event.ts'
import { type Mutation, mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import { requireVersion } from '../database/version.ts'
import { NotFound } from '../errors.ts'
import {
  type AddedCredential,
  countAddedCredentials,
  findAddedCredentials,
} from '../identity-providers/added-credential-repository.ts'
import { deleteAddedCredentials } from '../identity-providers/added-credentials.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { type AdminToken, adminTokenTarget, adminTokenVersion, introspectorChanges } from './admin-token.ts'
import {
  countDescendants,
  findAdminToken,
  findDescendantIds,
  findDescendants,
  lockAdminToken,
  lockDescendants,
  setRevoked,
} from './admin-token-repository.ts'
import { getToken } from './admin-tokens.ts'

/** Objects per transaction: it writes an audit row for each, which blocks all other changes. */
const MOST_AT_ONCE = 500
/** Transactions per request. */
const MOST_PARTS = 4
/** Limit of counting, to bound its time. */
const MOST_COUNTED = 10_000
const MOST_SHOWN = 100

/** Numbers of objects: `keys` that the tokens made, and `secrets` and `credentials` that they added to keys of others. */
interface CreatedCount {
  adminTokens: number
  keys: number
  secrets: number
  credentials: number
}

/** What a cascade revoked, and how many objects are left for the next request. */
export interface Cascade extends CreatedCount {
  left: number
}

/** What a revocation would end: the first objects, and the numbers of all, each at most MOST_COUNTED. */
export interface RevocationRehearsal {
  count: CreatedCount
  tokens: readonly AdminToken[]
  created: CreatedKeys & { credentials: readonly AddedCredential[] }
}

/**
 * Revokes admin tokens, irreversibly and on every replica at once. A cascade ends what a token made, directly or through
 * admin tokens that it issued: first those tokens, so that none of them makes more, then keys, added secrets and added
 * credentials, in transactions of bounded size. The caller repeats the request until none is left.
 */
export class AdminTokenRevocations {
  readonly #database: Database
  readonly #seals: RowSeals

  constructor(options: { database: Database; seals: RowSeals }) {
    this.#database = options.database
    this.#seals = options.seals
  }

  /**
   * Idempotent: the first reason is kept. A token may revoke itself, so the author's own one is not held.
   * @throws {NotFound} @throws {PreconditionFailed}
   */
  async revoke(
    { hold: _hold, ...actor }: Actor,
    id: string,
    options: { reason: string | null; cascade: boolean },
  ): Promise<{ token: AdminToken; cascade: Cascade | null }> {
    const { reason } = options
    const first = await mutate(this.#database, actor, async mutation => {
      const token = await lockAdminToken(mutation.trx, id)
      if (!token) throw new NotFound('admin token', id)
      mutation.found(adminTokenVersion(token))
      if (!token.revokedAt) await revokeToken(mutation, token, reason)
      const done = options.cascade ? await revokePart(mutation, this.#seals, id, reason) : NOTHING
      return { token: await getToken(mutation.trx, id), done }
    })
    if (!options.cascade) return { token: first.token, cascade: null }
    let done = first.done
    // Neither the precondition nor the Idempotency-Key is about the later parts.
    const { once: _once, precondition: _precondition, ...author } = actor
    for (let part = 1; part < MOST_PARTS && total(done) >= part * MOST_AT_ONCE; part++) {
      done = sum(
        done,
        await mutate(this.#database, author, mutation => revokePart(mutation, this.#seals, id, reason)),
      )
    }
    const left = await this.#database.run(db => countLeft(db, id))
    return { token: first.token, cascade: { ...done, left: total(left) } }
  }

  /** What `revoke` would end now. @throws {NotFound} @throws {PreconditionFailed} */
  rehearse(actor: Actor, id: string, { cascade }: { cascade: boolean }): Promise<RevocationRehearsal> {
    return this.#database.readSnapshot(async trx => {
      const token = await findAdminToken(trx, id)
      if (!token) throw new NotFound('admin token', id)
      requireVersion(actor.precondition ?? {}, adminTokenVersion(token))
      const own = token.revokedAt ? [] : [token]
      if (!cascade)
        return {
          count: { ...NOTHING, adminTokens: own.length },
          tokens: own,
          created: { keys: [], secrets: [], credentials: [] },
        }
      const count = await countLeft(trx, id)
      const creators = await creatorsOf(trx, id)
      return {
        count: { ...count, adminTokens: count.adminTokens + own.length },
        tokens: [...own, ...(await findDescendants(trx, id, MOST_SHOWN))].slice(0, MOST_SHOWN),
        created: {
          ...(await findCreated(trx, creators, MOST_SHOWN)),
          credentials: await findAddedCredentials(trx, creators, MOST_SHOWN),
        },
      }
    })
  }
}

const NOTHING: CreatedCount = { adminTokens: 0, keys: 0, secrets: 0, credentials: 0 }

const total = ({ adminTokens, keys, secrets, credentials }: CreatedCount) =>
  adminTokens + keys + secrets + credentials

const sum = (a: CreatedCount, b: CreatedCount): CreatedCount => ({
  adminTokens: a.adminTokens + b.adminTokens,
  keys: a.keys + b.keys,
  secrets: a.secrets + b.secrets,
  credentials: a.credentials + b.credentials,
})

async function revokeToken(mutation: Mutation, token: AdminToken, reason: string | null): Promise<void> {
  await setRevoked(mutation.trx, token.id, reason)
  const changes = fieldChanges({ revokedReason: null }, { revokedReason: reason })
  const event = { action: 'admin-token.revoke', ...adminTokenTarget(token), changes } as const
  mutation.record(event, { kind: 'admin-token', id: token.id }, ...introspectorChanges(token))
}

/** Revokes at most MOST_AT_ONCE objects; fewer mean that none is left. */
async function revokePart(
  mutation: Mutation,
  seals: RowSeals,
  id: string,
  reason: string | null,
): Promise<CreatedCount> {
  const { trx } = mutation
  let adminTokens = 0
  for (;;) {
    // Repeated until there is none: one of them may have issued another while this waited for its lock.
    const tokens = await lockDescendants(trx, id, MOST_AT_ONCE - adminTokens)
    for (const token of tokens) await revokeToken(mutation, token, reason)
    adminTokens += tokens.length
    if (adminTokens === MOST_AT_ONCE) return { ...NOTHING, adminTokens }
    if (tokens.length === 0) break
  }
  const creators = await creatorsOf(trx, id)
  let most = MOST_AT_ONCE - adminTokens
  const { keys, secrets } = await revokeCreated(mutation, seals, creators, { reason, most })
  most -= keys.length + secrets.length
  const { length: credentials } = await deleteAddedCredentials(mutation, creators, { reason, most })
  return { adminTokens, keys: keys.length, secrets: secrets.length, credentials }
}

/** The token, and those that it issued, directly or indirectly, in any state. */
const creatorsOf = async (db: Handle, id: string) => [id, ...(await findDescendantIds(db, id))]

async function countLeft(db: Handle, id: string): Promise<CreatedCount> {
  const adminTokens = await countDescendants(db, id)
  const creators = await creatorsOf(db, id)
  const credentials = await countAddedCredentials(db, creators, MOST_COUNTED)
  return { adminTokens, ...(await countCreated(db, creators, MOST_COUNTED)), credentials }
}
