import { formatCredential, parseCredential, randomId } from '../api-keys/api-key.ts'
import type { KeyDigests } from '../api-keys/key-digest.ts'
import { expiryFaults, latestEnd, longestLifetime } from '../api-keys/key-limits.ts'
import { type Actor, fieldChanges } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database, Handle } from '../database/database.ts'
import { databaseNow } from '../database/database-time.ts'
import type { Page, PageRequest } from '../database/page.ts'
import { Forbidden, Invalid, NotFound } from '../errors.ts'
import { holdCurrentPepper, holdPepper, readInstallation } from '../installation/installation.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import { findTenant } from '../tenants/tenant-repository.ts'
import {
  type AdminToken,
  adminTokenState,
  adminTokenVersion,
  type Issuer,
  refuseEscalation,
} from './admin-token.ts'
import {
  countDescendants,
  findAdminToken,
  findByDigest,
  insertAdminToken,
  listAdminTokens,
  lockAdminToken,
  lockDescendants,
  setDigest,
  setLastUsed,
  setRevoked,
} from './admin-token-repository.ts'

/** A token that was made now: its secret is not kept, so this is the one time that it is seen. */
export interface IssuedAdminToken {
  token: AdminToken
  secret: string
}

/** What a new token shall be; `expiresAt` undefined: as late as the policy and the issuer's own end allow. */
export type AdminTokenRequest = Pick<AdminToken, 'name' | 'role' | 'tenantId'> & {
  expiresAt: Date | null | undefined
}

export type AdminTokenCheck =
  | { ok: true; token: AdminToken }
  | { ok: false; reason: 'malformed' | 'unknown' | 'expired' | 'revoked'; tokenId?: string }

/** Last use is told to the minute, so that reading lists is not a write each time. */
const LAST_USE_STEP_MS = 60_000

/** Operations on admin tokens. */
export class AdminTokens {
  readonly #database: Database
  readonly #digests: KeyDigests
  readonly #random: Random
  readonly #logger: Logger

  constructor(options: { database: Database; digests: KeyDigests; random: Random; logger: Logger }) {
    this.#database = options.database
    this.#digests = options.digests
    this.#random = options.random
    this.#logger = options.logger
  }

  /**
   * Whose a presented token is, asked of Postgres each time: a call to the admin API needs it anyway, and so what one
   * replica issues or revokes holds on all of them at once. A malformed token costs no query.
   * @throws {Unavailable}
   */
  async authenticate(presented: string): Promise<AdminTokenCheck> {
    if (parseCredential(presented)?.prefix !== 'mma') return { ok: false, reason: 'malformed' }
    const digests = this.#digests.forFinding(presented)
    const found = await this.#database.run(db => findByDigest(db, digests))
    if (!found) return { ok: false, reason: 'unknown' }
    const { token, pepperId, now } = found
    const state = adminTokenState(token, now)
    if (state !== 'active') return { ok: false, reason: state, tokenId: token.id }
    this.#noteUse(presented, token, { pepperId, now }).catch(err =>
      this.#logger.warn({ err, admin_token: token.id }, 'last use of an admin token not stored'),
    )
    return { ok: true, token }
  }

  /** @throws {NotFound} */
  get(id: string): Promise<AdminToken> {
    return this.#database.run(db => getToken(db, id))
  }

  /** The database's time, which states are told by, in epoch milliseconds. */
  now(): Promise<number> {
    return this.#database.run(databaseNow)
  }

  /** Of one tenant, or of all: those bound to none, too. */
  list(tenantId: string | null, page: PageRequest): Promise<Page<AdminToken>> {
    return this.#database.run(db => listAdminTokens(db, tenantId, page))
  }

  /** @throws {Forbidden} when it could do more than its issuer. @throws {Invalid} */
  async create(actor: Actor, issuer: Issuer, request: AdminTokenRequest): Promise<IssuedAdminToken> {
    return mutate(this.#database, actor, async ({ trx, record }) => {
      await refuseRevoked(trx, actor)
      const { policy } = await readInstallation(trx)
      const now = await databaseNow(trx)
      const longest = longestLifetime(policy, null)
      const latest = latestEnd(longest, now)
      const end = issuer.expiresAt && issuer.expiresAt < latest ? issuer.expiresAt : latest
      const { name, role, tenantId, expiresAt = end } = request
      refuseEscalation(issuer, { role, tenantId, expiresAt })
      const faults = expiryFaults(expiresAt, longest, now)
      if (tenantId !== null && !(await findTenant(trx, tenantId))) {
        faults.push({ pointer: '/tenant', message: `names an unknown tenant: "${tenantId}"` })
      }
      if (faults.length > 0) throw new Invalid(faults)
      const bareId = randomId(this.#random)
      const id = `adm_${bareId}`
      const secret = formatCredential('mma', bareId, this.#random)
      const settings = { name, role, tenantId, expiresAt }
      await holdPepper(trx, this.#digests.storing)
      await insertAdminToken(trx, {
        id,
        ...settings,
        createdBy: actor.id,
        ...this.#digests.forStoring(secret),
      })
      const changes = fieldChanges(undefined, settings)
      record({ action: 'admin-token.create', ...targetOf({ id, tenantId }), changes })
      return { token: await getToken(trx, id), secret }
    })
  }

  /**
   * For good, on every replica at once. `cascade` ends those that it issued too, and theirs. Repeatable: the first
   * reason stays. @throws {NotFound}
   */
  async revoke(
    actor: Actor,
    id: string,
    options: { reason: string | null; cascade: boolean },
  ): Promise<AdminToken> {
    return mutate(this.#database, actor, async ({ trx, found, record }) => {
      const token = await lockAdminToken(trx, id)
      if (!token) throw new NotFound('admin token', id)
      found(adminTokenVersion(token))
      const end = async (each: AdminToken) => {
        await setRevoked(trx, each.id, options.reason)
        const changes = fieldChanges({ revokedReason: null }, { revokedReason: options.reason })
        record({ action: 'admin-token.revoke', ...targetOf(each), changes })
      }
      if (!token.revokedAt) await end(token)
      // Again until there is none: one of them may have been issuing another while we waited for its lock.
      let descendants = options.cascade ? await lockDescendants(trx, id) : []
      while (descendants.length > 0) {
        for (const each of descendants) await end(each)
        descendants = await lockDescendants(trx, id)
      }
      return getToken(trx, id)
    })
  }

  /** How many live tokens revoking with `cascade` would end beside the token itself. */
  countDescendants(id: string): Promise<number> {
    return this.#database.run(db => countDescendants(db, id))
  }

  async #noteUse(
    presented: string,
    { id, lastUsedAt }: AdminToken,
    { pepperId, now }: { pepperId: string; now: number },
  ): Promise<void> {
    if (lastUsedAt === null || now - lastUsedAt.getTime() >= LAST_USE_STEP_MS) {
      await this.#database.run(db => setLastUsed(db, id))
    }
    if (pepperId === this.#digests.storing.id) return
    await this.#database.write(async trx => {
      if (!(await holdCurrentPepper(trx, this.#digests.storing))) return
      await setDigest(trx, id, this.#digests.forStoring(presented))
    })
  }
}

const targetOf = ({ id, tenantId }: Pick<AdminToken, 'id' | 'tenantId'>) => ({
  targetKind: 'admin-token',
  targetId: id,
  ...(tenantId !== null && { tenantId }),
})

/** A token that was revoked a moment ago, while its request was under way, must leave none behind. @throws {Forbidden} */
async function refuseRevoked(trx: Handle, actor: Actor): Promise<void> {
  const own = await lockAdminToken(trx, actor.id)
  if (own?.revokedAt) throw new Forbidden('The admin token of this request has been revoked.')
}

async function getToken(db: Handle, id: string): Promise<AdminToken> {
  const token = await findAdminToken(db, id)
  if (!token) throw new NotFound('admin token', id)
  return token
}
