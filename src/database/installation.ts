import { sql } from 'kysely'
import type { NamedKey } from '../system/secret.ts'
import { appendChanges } from './change-feed.ts'
import type { Database, Handle } from './database.ts'
import { checksOf, firstOf, reconcileSecrets } from './installation-secrets.ts'

/** Rules that all replicas share, written at the first start and changed in the database only. */
export interface Policy {
  signingAlg: string
  rotationIntervalSeconds: number
  publishLeadSeconds: number
  maxKeyLifetimeSeconds: number
  unendingKeysAllowed: boolean
  /** The longest that any token may have been issued for, since the first start. */
  longestTokenTtlSeconds: number
  longestStalenessSeconds: number
}

export interface Installation {
  id: string
  issuer: string
  policy: Policy
  createdAt: Date
}

/** What this process was started with. */
export interface InstallationInput {
  issuer: string
  /** The issuer only says which local port was free (embedded database, nothing configured): the record follows it. */
  issuerMayMove: boolean
  peppers: readonly NamedKey[]
  encryptionKeys: readonly NamedKey[]
  signingAlg: string
  rotationIntervalSeconds: number
  publishLeadSeconds: number
  tokenTtlSeconds: number
  stalenessSeconds: number
}

/** This process must not serve this database. Each fault says what is wrong and what cures it. */
export class InstallationMismatch extends Error {
  override readonly name = 'InstallationMismatch'
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    super(faults.join(' '))
    this.faults = faults
  }
}

/**
 * Reads the installation record, or writes it at the first start, and compares it with what this process holds, so
 * that a copy of another environment's database never mints and two replicas on one database never disagree. The
 * row lock makes processes that start together agree on one record.
 *
 * @throws {InstallationMismatch} when the issuer differs, or a recorded pepper or encryption key is missing or another.
 */
export async function openInstallation(
  database: Database,
  input: InstallationInput,
): Promise<{ installation: Installation; warnings: string[] }> {
  return database.write(async trx => {
    await trx
      .insertInto('installation')
      .values(firstRecord(input))
      .onConflict(c => c.doNothing())
      .execute()
    const row = await lockInstallation(trx)
    const inUse = await idsInUse(trx)
    const peppers = reconcileSecrets('pepper', input.peppers, row.pepper_checks, [
      row.current_pepper,
      ...inUse.peppers,
    ])
    const keys = reconcileSecrets('encryption key', input.encryptionKeys, row.encryption_key_checks, [
      row.current_encryption_key,
      ...inUse.encryptionKeys,
    ])
    const faults = [...issuerFaults(row.issuer, input), ...peppers.faults, ...keys.faults]
    if (faults.length > 0) throw new InstallationMismatch(faults)

    const longestTokenTtl = Math.max(row.longest_token_ttl_seconds, input.tokenTtlSeconds)
    const longestStaleness = Math.max(row.longest_staleness_seconds, input.stalenessSeconds)
    const next = {
      issuer: input.issuer,
      pepper_checks: JSON.stringify(peppers.checks),
      current_pepper: firstOf(input.peppers).id,
      encryption_key_checks: JSON.stringify(keys.checks),
      current_encryption_key: firstOf(input.encryptionKeys).id,
      longest_token_ttl_seconds: longestTokenTtl,
      longest_staleness_seconds: longestStaleness,
    }
    await trx.updateTable('installation').set(next).execute()
    await appendChanges(trx, [{ kind: 'installation', id: row.id }])
    const policy = {
      ...policyOf(row),
      longestTokenTtlSeconds: longestTokenTtl,
      longestStalenessSeconds: longestStaleness,
    }
    return {
      installation: { id: row.id, issuer: input.issuer, policy, createdAt: row.created_at },
      warnings: policyWarnings(policy, input),
    }
  })
}

/** The record as it stands, for the admin API. */
export async function readInstallation(db: Handle): Promise<Installation> {
  const row = await selectInstallation(db).executeTakeFirstOrThrow()
  return { id: row.id, issuer: row.issuer, policy: policyOf(row), createdAt: row.created_at }
}

/** Ids of peppers that the record names and this process lacks: a key that it cannot find may be under one of them. */
export async function peppersLacking(db: Handle, own: readonly NamedKey[]): Promise<string[]> {
  const row = await db.selectFrom('installation').select('pepper_checks').executeTakeFirstOrThrow()
  return Object.keys(row.pepper_checks).filter(id => !own.some(pepper => pepper.id === id))
}

function selectInstallation(db: Handle) {
  return db
    .selectFrom('installation')
    .select([
      'id',
      'issuer',
      'pepper_checks',
      'current_pepper',
      'encryption_key_checks',
      'current_encryption_key',
    ])
    .select(['signing_alg', 'rotation_interval_seconds', 'publish_lead_seconds', 'max_key_lifetime_seconds'])
    .select(['unending_keys_allowed', 'longest_token_ttl_seconds', 'longest_staleness_seconds', 'created_at'])
}

function lockInstallation(trx: Handle) {
  return selectInstallation(trx).forUpdate().executeTakeFirstOrThrow()
}

function firstRecord(input: InstallationInput) {
  return {
    issuer: input.issuer,
    pepper_checks: JSON.stringify(checksOf(input.peppers.slice(0, 1))),
    current_pepper: firstOf(input.peppers).id,
    encryption_key_checks: JSON.stringify(checksOf(input.encryptionKeys.slice(0, 1))),
    current_encryption_key: firstOf(input.encryptionKeys).id,
    signing_alg: input.signingAlg,
    rotation_interval_seconds: input.rotationIntervalSeconds,
    publish_lead_seconds: input.publishLeadSeconds,
    longest_token_ttl_seconds: input.tokenTtlSeconds,
    longest_staleness_seconds: input.stalenessSeconds,
  }
}

function policyOf(row: {
  signing_alg: string
  rotation_interval_seconds: number
  publish_lead_seconds: number
  max_key_lifetime_seconds: number
  unending_keys_allowed: boolean
  longest_token_ttl_seconds: number
  longest_staleness_seconds: number
}): Policy {
  return {
    signingAlg: row.signing_alg,
    rotationIntervalSeconds: row.rotation_interval_seconds,
    publishLeadSeconds: row.publish_lead_seconds,
    maxKeyLifetimeSeconds: row.max_key_lifetime_seconds,
    unendingKeysAllowed: row.unending_keys_allowed,
    longestTokenTtlSeconds: row.longest_token_ttl_seconds,
    longestStalenessSeconds: row.longest_staleness_seconds,
  }
}

/** Peppers of secrets that still open something, and encryption keys of private halves that are still stored. */
async function idsInUse(trx: Handle): Promise<{ peppers: string[]; encryptionKeys: string[] }> {
  const notPast = (column: 'ends_at' | 'expires_at') =>
    sql<boolean>`(${sql.ref(column)} IS NULL OR ${sql.ref(column)} > now())`
  const peppers = await trx
    .selectFrom('api_key_secrets')
    .innerJoin('api_keys', 'api_keys.id', 'api_key_secrets.key_id')
    .select('pepper_id')
    .distinct()
    .where('api_key_secrets.revoked_at', 'is', null)
    .where('api_keys.revoked_at', 'is', null)
    .where(notPast('ends_at'))
    .where(notPast('expires_at'))
    .execute()
  const keys = await trx.selectFrom('signing_keys').select('encryption_key_id').distinct().execute()
  return {
    peppers: peppers.map(row => row.pepper_id),
    encryptionKeys: keys.flatMap(row => row.encryption_key_id ?? []),
  }
}

function issuerFaults(recorded: string, { issuer, issuerMayMove }: InstallationInput): string[] {
  if (recorded === issuer || issuerMayMove) return []
  return [
    `This database belongs to the issuer "${recorded}", and MINTMARK_ISSUER says "${issuer}": ` +
      'set it to the first, or use a database of its own for the second.',
  ]
}

function policyWarnings(policy: Policy, input: InstallationInput): string[] {
  const pairs: [string, string | number, string | number][] = [
    ['MINTMARK_SIGNING_ALG', input.signingAlg, policy.signingAlg],
    ['MINTMARK_ROTATION_INTERVAL_SECONDS', input.rotationIntervalSeconds, policy.rotationIntervalSeconds],
    ['MINTMARK_PUBLISH_LEAD_SECONDS', input.publishLeadSeconds, policy.publishLeadSeconds],
  ]
  return pairs
    .filter(([, environment, recorded]) => environment !== recorded)
    .map(
      ([name, environment, recorded]) =>
        `${name} is ${environment}; the installation record says ${recorded}, which holds`,
    )
}
