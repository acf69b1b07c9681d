import { isDeepStrictEqual } from 'node:util'
import type { SigningAlg } from '../config/signing-alg.ts'
import type { Handle } from '../database/database.ts'
import { Unavailable } from '../errors.ts'
import type { NamedKey } from '../system/secret.ts'
import { crowdFaults, POLICY_COLUMNS, policyOf, policyWarnings } from './installation-policy.ts'
import { checksOf, firstOf, reconcileSecrets, type SecretChecks } from './installation-secrets.ts'
import type { Policy } from './policy.ts'
import type { RecordedIds } from './row-seals.ts'
import { type IsPepperInUse, isEncryptionKeyInUse } from './secret-use.ts'

export interface Installation {
  id: string
  issuer: string
  policy: Policy
  currentPepper: string
  currentEncryptionKey: string
  /** Ids of all peppers and encryption keys in use. */
  recorded: RecordedIds
  createdAt: Date
}

/** The configuration of this process. */
export interface InstallationInput {
  issuer: string
  /** The issuer is only a default with the local port (embedded database, not configured): the record follows it. */
  issuerMayMove: boolean
  peppers: readonly NamedKey[]
  encryptionKeys: readonly NamedKey[]
  signingAlg: SigningAlg
  rotationIntervalSeconds: number
  publishLeadSeconds: number
  tokenTtlSeconds: number
  stalenessSeconds: number
  isPepperInUse: IsPepperInUse
}

/** This process must not serve this database. Each fault names the problem and the cure. */
export class InstallationMismatch extends Error {
  override readonly name = 'InstallationMismatch'
  readonly faults: readonly string[]
  constructor(faults: readonly string[]) {
    super(faults.join(' '))
    this.faults = faults
  }
}

/** The record as this process read or created it. */
export interface OpenedInstallation {
  installation: Installation
  /** The changes to the record, with secrets by their ids; undefined when it was up to date. */
  changes: { before: object | undefined; after: object } | undefined
  warnings: string[]
}

/**
 * Reads the installation record, or creates it at the first start, and compares it with this process's configuration,
 * so that a copy of another environment's database never issues tokens and two replicas of one database never disagree.
 * The row lock makes processes that start together agree on one record.
 *
 * @throws {InstallationMismatch} when the issuer, or a recorded pepper or encryption key, is missing or different.
 */
export async function openInstallation(trx: Handle, input: InstallationInput): Promise<OpenedInstallation> {
  const inserted = await trx
    .insertInto('installation')
    .values(firstRecord(input))
    .onConflict(c => c.doNothing())
    .returning('id')
    .executeTakeFirst()
  const row = await lockInstallation(trx)
  const peppers = await checkPeppers(trx, input, row)
  const keys = await checkEncryptionKeys(trx, input, row)
  const faults = [
    ...issuerFaults(row.issuer, input),
    ...peppers.faults,
    ...keys.faults,
    ...crowdFaults(policyOf(row), input),
  ]
  if (faults.length > 0) throw new InstallationMismatch(faults)

  const before = recordOf(row)
  const after = {
    issuer: input.issuer,
    pepper_checks: peppers.checks,
    current_pepper: firstOf(input.peppers).id,
    encryption_key_checks: keys.checks,
    current_encryption_key: firstOf(input.encryptionKeys).id,
    longest_token_ttl_seconds: Math.max(row.longest_token_ttl_seconds, input.tokenTtlSeconds),
    longest_staleness_seconds: Math.max(row.longest_staleness_seconds, input.stalenessSeconds),
  }
  const same = isDeepStrictEqual(before, after)
  if (!same) await updateInstallation(trx, after)
  const installation = toInstallation({ ...row, ...after })
  return {
    installation,
    changes:
      inserted || !same ? { before: inserted ? undefined : byIds(before), after: byIds(after) } : undefined,
    warnings: policyWarnings(installation.policy, input),
  }
}

type InstallationRow = Awaited<ReturnType<typeof lockInstallation>>

/**
 * Required: the current one, and those of the others that this process lacks and stored credentials or seals depend on.
 * An id that the record does not have is not required: a row that is not genuine may name any.
 */
async function checkPeppers(trx: Handle, input: InstallationInput, row: InstallationRow) {
  const lacking = lackingIds(row.pepper_checks, input.peppers)
  const inUse = await Promise.all(lacking.map(async id => ((await input.isPepperInUse(trx, id)) ? [id] : [])))
  const needed = [row.current_pepper, ...inUse.flat()]
  return reconcileSecrets('pepper', input.peppers, row.pepper_checks, needed)
}

async function checkEncryptionKeys(trx: Handle, { encryptionKeys }: InstallationInput, row: InstallationRow) {
  const lacking = lackingIds(row.encryption_key_checks, encryptionKeys)
  const inUse = await Promise.all(
    lacking.map(async id => ((await isEncryptionKeyInUse(trx, id)) ? [id] : [])),
  )
  const needed = [row.current_encryption_key, ...inUse.flat()]
  return reconcileSecrets('encryption key', encryptionKeys, row.encryption_key_checks, needed)
}

/** The part of the record that a start may change. */
function recordOf(row: InstallationRow) {
  return {
    issuer: row.issuer,
    pepper_checks: row.pepper_checks,
    current_pepper: row.current_pepper,
    encryption_key_checks: row.encryption_key_checks,
    current_encryption_key: row.current_encryption_key,
    longest_token_ttl_seconds: row.longest_token_ttl_seconds,
    longest_staleness_seconds: row.longest_staleness_seconds,
  }
}

const byIds = (record: ReturnType<typeof recordOf>) => ({
  ...record,
  pepper_checks: Object.keys(record.pepper_checks),
  encryption_key_checks: Object.keys(record.encryption_key_checks),
})

async function updateInstallation(trx: Handle, record: ReturnType<typeof recordOf>): Promise<void> {
  const { pepper_checks, encryption_key_checks, ...columns } = record
  const checks = {
    pepper_checks: JSON.stringify(pepper_checks),
    encryption_key_checks: JSON.stringify(encryption_key_checks),
  }
  await trx
    .updateTable('installation')
    .set({ ...columns, ...checks })
    .execute()
}

/** The current record, for the admin API. */
export async function readInstallation(db: Handle): Promise<Installation> {
  return toInstallation(await selectInstallation(db).executeTakeFirstOrThrow())
}

const toInstallation = (row: InstallationRow): Installation => ({
  id: row.id,
  issuer: row.issuer,
  policy: policyOf(row),
  currentPepper: row.current_pepper,
  currentEncryptionKey: row.current_encryption_key,
  recorded: {
    encryptionKeys: Object.keys(row.encryption_key_checks),
    peppers: Object.keys(row.pepper_checks),
    current: { encryptionKey: row.current_encryption_key, pepper: row.current_pepper },
  },
  createdAt: row.created_at,
})

/**
 * Keeps a pepper in the record until the end of the transaction, which stores a digest under it.
 * @throws {Unavailable} when the record lacks it or has another value: other replicas would not find the key.
 */
export async function holdPepper(trx: Handle, pepper: NamedKey): Promise<void> {
  const row = await trx
    .selectFrom('installation')
    .select('pepper_checks')
    .forShare()
    .executeTakeFirstOrThrow()
  if (row.pepper_checks[pepper.id] === checksOf([pepper])[pepper.id]) return
  throw new Unavailable('This replica cannot create keys and tokens. Retry on another replica.', {
    cause: new Error(`the installation record lacks the pepper "${pepper.id}" of MINTMARK_PEPPERS: restart`),
  })
}

/** Whether this pepper is used for new digests; if so, the record keeps it until the end of the transaction. */
export async function holdCurrentPepper(trx: Handle, pepper: NamedKey): Promise<boolean> {
  const row = await trx
    .selectFrom('installation')
    .select(['pepper_checks', 'current_pepper'])
    .forShare()
    .executeTakeFirstOrThrow()
  return row.current_pepper === pepper.id && row.pepper_checks[pepper.id] === checksOf([pepper])[pepper.id]
}

function lackingIds(recorded: SecretChecks, own: readonly NamedKey[]): string[] {
  const held = checksOf(own)
  return Object.keys(recorded).filter(id => held[id] !== recorded[id])
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
    .select(POLICY_COLUMNS)
    .select('created_at')
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

function issuerFaults(recorded: string, { issuer, issuerMayMove }: InstallationInput): string[] {
  if (recorded === issuer || issuerMayMove) return []
  return [
    `This database belongs to the issuer "${recorded}", but MINTMARK_ISSUER is "${issuer}": ` +
      'set it to the recorded issuer, or use a separate database for the new one.',
  ]
}
