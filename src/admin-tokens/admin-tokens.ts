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
  adminTokenTarget,
  type Issuer,
  introspectorChanges,
  refuseEscalation,
} from './admin-token.ts'
import {
  findAdminToken,
  findByDigest,
  holdAdminToken,
  insertAdminToken,
  listAdminTokens,
  setDigest,
  setLastUsed,
} from './admin-token-repository.ts'

/** A new token: its secret is not stored, so it can be shown only once. */
export interface IssuedAdminToken {
  token: AdminToken
  secret: string
}

/** Properties of a new token; `expiresAt` undefined: the latest end that the policy and the issuer's own end allow. */
export type AdminTokenRequest = Pick<AdminToken, 'name' | 'role' | 'tenantId' | 'audiences'> & {
  expiresAt: Date | null | undefined
}

export type AdminTokenCheck =
  | { ok: true; token: AdminToken }
  | { ok: false; reason: 'malformed' | 'unknown' | 'expired' | 'revoked'; tokenId?: string }

/** Last use is stored to the minute, so that not every request is a write. */
const LAST_USE_STEP_MS = 60_000

/** Operations on admin tokens. */
export class AdminTokens {
  readonly #database: Database
  readonly #digests: KeyDigests
  readonly #random: Random
  readonly #logger: Logger
  readonly #isEnded: (token: AdminToken) => boolean

  /** `isEnded`: it was revoked before the database was restored to an older state. */
  constructor(options: {
    database: Database
    digests: KeyDigests
    random: Random
    logger: Logger
    isEnded: (token: AdminToken) => boolean
  }) {
    this.#database = options.database
    this.#digests = options.digests
    this.#random = options.random
    this.#logger = options.logger
    this.#isEnded = options.isEnded
  }

  /**
   * The owner of a presented token. Queries Postgres each time: a call to the admin API needs it anyway, so tokens
   * issued or revoked by one replica apply on all at once. A malformed token costs no query.
   * @throws {Unavailable}
   */
  async authenticate(presented: string): Promise<AdminTokenCheck> {
    if (parseCredential(presented)?.prefix !== 'mma') return { ok: false, reason: 'malformed' }
    const digests = this.#digests.forFinding(presented)
    const found = await this.#database.run(db => findByDigest(db, digests))
    if (!found) return { ok: false, reason: 'unknown' }
    const { token, pepperId, now } = found
    const state = this.#isEnded(token) ? 'revoked' : adminTokenState(token, now)
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

  /** Database time, which states are computed at, in epoch milliseconds. */
  now(): Promise<number> {
    return this.#database.run(databaseNow)
  }

  /** Lists tokens of one tenant, or all including unbound ones. */
  list(tenantId: string | null, page: PageRequest): Promise<Page<AdminToken>> {
    return this.#database.run(db => listAdminTokens(db, tenantId, page))
  }

  /** @throws {Forbidden} when it would have more rights than its issuer. @throws {Invalid} */
  async create(actor: Actor, issuer: Issuer, request: AdminTokenRequest): Promise<IssuedAdminToken> {
    return mutate(this.#database, actor, async ({ trx, record }) => {
      const { policy } = await readInstallation(trx)
      const now = await databaseNow(trx)
      const longest = longestLifetime(policy, null)
      const latest = latestEnd(longest, now)
      const end = issuer.expiresAt && issuer.expiresAt < latest ? issuer.expiresAt : latest
      const { name, role, tenantId, audiences, expiresAt = end } = request
      refuseEscalation(issuer, { role, tenantId, expiresAt })
      const faults = expiryFaults(expiresAt, longest, now)
      if (tenantId !== null && !(await findTenant(trx, tenantId))) {
        faults.push({ pointer: '/tenant', message: `names an unknown tenant: "${tenantId}"` })
      }
      if (faults.length > 0) throw new Invalid(faults)
      const bareId = randomId(this.#random)
      const id = `adm_${bareId}`
      const secret = formatCredential(role === 'introspector' ? 'mmi' : 'mma', bareId, this.#random)
      const settings = { name, role, tenantId, audiences, expiresAt }
      await holdPepper(trx, this.#digests.storing)
      await insertAdminToken(trx, {
        id,
        ...settings,
        createdBy: actor.id,
        ...this.#digests.forStoring(secret),
      })
      const changes = fieldChanges(undefined, settings)
      const event = { action: 'admin-token.create', ...adminTokenTarget({ id, tenantId }), changes } as const
      record(event, ...introspectorChanges({ id, role }))
      return { token: await getToken(trx, id), secret }
    })
  }

  /**
   * Keeps the token valid until the end of the transaction. @throws {Forbidden} when it has been revoked or has expired
   * since the request began.
   */
  async hold(trx: Handle, id: string): Promise<void> {
    const held = await holdAdminToken(trx, id)
    const state = held ? adminTokenState(held.token, held.now) : 'revoked'
    if (state !== 'active')
      throw new Forbidden(`The admin token of this request is ${state}. Use another one.`)
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

/** @throws {NotFound} */
export async function getToken(db: Handle, id: string): Promise<AdminToken> {
  const token = await findAdminToken(db, id)
  if (!token) throw new NotFound('admin token', id)
  return token
}
