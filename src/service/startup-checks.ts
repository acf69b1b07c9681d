import { type AuditEvent, fieldChanges, SYSTEM } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Caller } from '../authentication/authenticator.ts'
import { brokenCounter } from '../database/condition/change-counter.ts'
import { foreignObjects } from '../database/condition/foreign-objects.ts'
import { missingRights } from '../database/condition/rights.ts'
import { shadows } from '../database/condition/shadows.ts'
import { missingIndexes } from '../database/indexes.ts'
import { connectsAsOwner } from '../database/migrate.ts'
import { pendingMigrations } from '../database/migrations.ts'
import { databaseMisfit } from '../database/suitability.ts'
import { openInstallation } from '../installation/installation.ts'
import { installationId } from '../installation/own-secrets.ts'
import { TokenIssuer } from '../tokens/token-issuer.ts'
import { verifyAccessToken } from '../tokens/token-verifier.ts'
import type { Parts } from './parts.ts'
import { isPepperInUse } from './pepper-use.ts'
import { NotReady } from './readiness.ts'

type Checked = Pick<
  Parts,
  'config' | 'system' | 'storage' | 'issuer' | 'follower' | 'trust' | 'policy' | 'signing' | 'directory'
>

/** What must hold before serving: schema, role, installation record, directory, signing keys, a probe token. */
export class StartupChecks {
  readonly #parts: Checked
  readonly #warned = new Set<string>()
  /** The installation of the snapshot that this process serves from. */
  #expected: string | undefined
  #hasRemembered = false

  constructor(parts: Checked) {
    this.#parts = parts
  }

  /** From now on only the database of this installation is used. */
  expect(installation: string): void {
    this.#expected = installation
  }

  /** Can be retried until it succeeds. @throws the first check that fails */
  async run(): Promise<void> {
    const { storage, follower, signing } = this.#parts
    const { database, time } = storage
    const { signingKeys } = signing
    await this.#checkSchema()
    await this.#checkRole()
    const refused = await missingRights(database)
    if (refused !== undefined) throw new NotReady(refused)
    const foreign = (await foreignObjects(database)) ?? (await brokenCounter(database))
    if (foreign !== undefined) throw new NotReady(foreign)
    await this.#checkInstallation()
    await this.#openInstallation()
    await time.measure(database)
    await this.#remember()
    await signingKeys.advance()
    await signingKeys.refresh()
    await follower.load()
    await this.probe()
  }

  async #checkSchema(): Promise<void> {
    const { database } = this.#parts.storage
    const misfit = (await shadows(database)) ?? (await databaseMisfit(database))
    if (misfit !== undefined) throw new NotReady(misfit)
    const pending = await pendingMigrations(database)
    const { databaseSchema } = this.#parts.config
    const inSchema = databaseSchema === 'public' ? '' : ` and MINTMARK_DATABASE_SCHEMA=${databaseSchema}`
    const cure = `run "mintmark migrate" with MIGRATE_DATABASE_URL set to the owner role${inSchema}`
    if (pending.length > 0)
      throw new NotReady(`The database lacks the migrations ${pending.join(', ')}: ${cure}.`)
    const missing = await missingIndexes(database)
    if (missing.length === 0) return
    this.#warnOnce(
      `The database lacks the indexes ${missing.join(', ')}, so lists may be slow or time out: ${cure}.`,
    )
  }

  async #checkRole(): Promise<void> {
    if (!(await connectsAsOwner(this.#parts.storage.database))) return
    const advice =
      'DATABASE_URL connects as the role that owns the tables: use a login role that is a member of mintmark_app (db/roles.sql).'
    if (this.#parts.config.production) throw new NotReady(advice)
    this.#warnOnce(advice)
  }

  /** Before the record is opened, because that would create it in an empty database. */
  async #checkInstallation(): Promise<void> {
    if (this.#expected === undefined) return
    const found = await this.#parts.storage.database.run(installationId)
    if (found === this.#expected) return
    const other = found === undefined ? 'no installation' : `the installation ${found}`
    throw new NotReady(
      `The database has ${other}, and this replica serves ${this.#expected} from a snapshot: set DATABASE_URL to the database of that one, or restore its backup. To begin with another database, set MINTMARK_SNAPSHOT_DIR to an empty folder and restart.`,
    )
  }

  async #openInstallation(): Promise<void> {
    const { config, issuer, storage, policy } = this.#parts
    const issuerMayMove = config.embedded && config.issuer === undefined
    const installation = await mutate(storage.database, SYSTEM, async ({ trx, record }) => {
      const opened = await openInstallation(trx, { ...config, issuer, issuerMayMove, isPepperInUse })
      for (const warning of opened.warnings) this.#warnOnce(warning)
      const { id } = opened.installation
      if (opened.changes) record(installationEvent(id, opened.changes), { kind: 'installation', id })
      return opened.installation
    })
    policy.set(installation.policy)
  }

  /** Before the signing keys are read: a restored database may have a revoked one. */
  async #remember(): Promise<void> {
    if (this.#hasRemembered) return
    const { trust, directory } = this.#parts
    const memories = await trust.tombstones.remember()
    // Before gateways receive the list: a restored database lacks what was denied after the backup.
    directory.denyList.add(memories.flatMap(({ denied = [] }) => denied))
    this.#hasRemembered = true
  }

  /** Signs a token and verifies it against the JWKS that will be published. */
  async probe(): Promise<void> {
    const { issuer, storage, signing, system } = this.#parts
    const ring = signing.ring()
    const prober = new TokenIssuer({ issuer, ring: () => ring, random: system.random })
    const now = storage.time.now()
    const { jwt } = await prober.issue(probeCaller(now), { scopes: ['probe'], audiences: ['mintmark-probe'] })
    await verifyAccessToken(jwt, { ring, issuer, audience: 'mintmark-probe', now })
  }

  /** Checks are repeated until they pass; each warning is logged once. */
  #warnOnce(warning: string): void {
    if (!this.#warned.has(warning)) this.#parts.system.logger.warn(warning)
    this.#warned.add(warning)
  }
}

function installationEvent(
  id: string,
  { before, after }: { before: object | undefined; after: object },
): AuditEvent {
  const action = before ? 'installation.update' : 'installation.create'
  return { action, targetKind: 'installation', targetId: id, changes: fieldChanges(before, after) }
}

/** Not a real key: its token is verified and discarded, and no gateway accepts its audience. */
const probeCaller = (at: number): Caller => ({
  keyId: 'key_0000000000000000',
  secretId: 'sec_0000000000000000',
  tenantId: 'mintmark-probe',
  keyEpoch: '00000000',
  tenantEpoch: '00000000',
  rights: {
    tier: 'probe',
    priority: 0,
    scopes: ['probe'],
    models: [],
    adapters: [],
    audiences: ['mintmark-probe'],
    tokenTtlSeconds: 60,
    limits: { tenant: {}, key: {} },
  },
  endsAt: null,
  at,
})
