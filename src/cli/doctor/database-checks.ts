import { type Config, readConfig } from '../../config/config.ts'
import { ConfigError, Env } from '../../config/env.ts'
import { brokenCounter } from '../../database/condition/change-counter.ts'
import { foreignObjects } from '../../database/condition/foreign-objects.ts'
import { missingRights } from '../../database/condition/rights.ts'
import { openSchema, shadows } from '../../database/condition/shadows.ts'
import { databaseFault } from '../../database/database-fault.ts'
import { DatabaseTime } from '../../database/database-time.ts'
import { missingIndexes } from '../../database/indexes.ts'
import { connectsAsOwner } from '../../database/migrate.ts'
import { pendingMigrations } from '../../database/migrations.ts'
import { databaseMisfit } from '../../database/suitability.ts'
import { readInstallation } from '../../installation/installation.ts'
import { secretFaults } from '../../installation/own-secrets.ts'
import { openStorage } from '../../service/storage.ts'
import { systemClock } from '../../system/clock.ts'
import { createLogger } from '../../system/logger.ts'
import { systemRandom } from '../../system/random.ts'
import { readRestores } from '../../tombstones/restore-repository.ts'
import { configurationFindings } from './configuration-checks.ts'
import { type Finding, fault, note, ok, warning } from './finding.ts'
import { snapshotFindings } from './snapshot-checks.ts'

/** Tokens use the clock of the database, gateways their own, and tolerate 60 s. */
const LARGEST_CLOCK_DIFFERENCE_MS = 5_000
const MOST_RESTORES = 10
const MIGRATE = 'Run "mintmark migrate" with MIGRATE_DATABASE_URL set to the owner role.'

/** In the environment of the service: its configuration and its database. What cannot be reached is a finding too. */
export async function environmentFindings(environment: NodeJS.ProcessEnv): Promise<Finding[]> {
  if (!environment.DATABASE_URL && !environment.DATABASE_URL_FILE)
    return [
      note(
        'database',
        'not checked: run doctor in the environment of the service too, with its DATABASE_URL, to check configuration and database',
      ),
    ]
  let config: Config
  try {
    config = readConfig(new Env(environment))
  } catch (error) {
    if (error instanceof ConfigError)
      return [
        fault(
          'configuration',
          error.message,
          'Correct these variables; docs/configuration.md explains them.',
        ),
      ]
    throw error
  }
  return [
    ...configurationFindings(config),
    ...(await snapshotFindings(config)),
    ...(await databaseFindings(config)),
  ]
}

async function databaseFindings(config: Config): Promise<Finding[]> {
  const system = { clock: systemClock, random: systemRandom, logger: createLogger('silent') }
  const storage = openStorage(config, system)
  try {
    await storage.database.preparePassword()
    return await checked(config, storage)
  } catch (error) {
    const reason = databaseFault(error)
    if (reason === undefined) throw error
    return [fault('database', reason, 'Check DATABASE_URL and the server: docs/guides/postgres.md.')]
  } finally {
    await Promise.all([
      storage.database.close(),
      storage.directoryDatabase.close(),
      storage.usageDatabase?.close(),
    ])
  }
}

async function checked(config: Config, { database }: ReturnType<typeof openStorage>): Promise<Finding[]> {
  const misfit = (await shadows(database)) ?? (await databaseMisfit(database))
  if (misfit !== undefined)
    return [fault('database', misfit, 'docs/guides/postgres.md has what a database needs.')]
  const pending = await pendingMigrations(database)
  if (pending.length > 0)
    return [fault('schema', `the database lacks the migrations ${pending.join(', ')}`, MIGRATE)]
  const findings = [
    ok('database', 'it answers, and its version and encoding are supported'),
    ok('schema', 'all migrations are applied'),
  ]
  const refused = await missingRights(database)
  if (refused !== undefined) return [...findings, fault('role', refused, 'Run db/roles.sql as the owner.')]
  const foreign = await foreignObjects(database)
  if (foreign !== undefined)
    return [...findings, fault('objects', foreign, 'docs/guides/postgres.md has what others may add.')]
  const broken = await brokenCounter(database)
  if (broken !== undefined)
    return [...findings, fault('counter', broken, 'docs/guides/restore.md has how to restore.')]
  const open = await openSchema(database)
  if (open !== undefined)
    findings.push(warning('rights of others', open, 'Revoke it as the owner of the schema.'))
  findings.push(
    (await connectsAsOwner(database))
      ? warning(
          'role',
          'DATABASE_URL connects as the role that owns the tables',
          'Use a login role that is a member of mintmark_app (db/roles.sql).',
        )
      : ok('role', 'DATABASE_URL connects as an application role with all rights that it needs'),
  )
  const missing = await missingIndexes(database)
  if (missing.length > 0)
    findings.push(warning('indexes', `the database lacks ${missing.join(', ')}: lists may be slow`, MIGRATE))
  const time = new DatabaseTime(systemClock)
  await time.measure(database)
  findings.push(clockFinding(time.hostAheadMs ?? 0))
  const { encryptionKeys, peppers, issuer } = config
  const secrets = await database.run(db => secretFaults(db, { encryptionKeys, peppers }))
  findings.push(
    ...secrets.map(text =>
      fault(
        'secrets',
        text,
        'Set the same MINTMARK_PEPPERS and MINTMARK_ENCRYPTION_KEYS as the other replicas.',
      ),
    ),
  )
  const installation = await database.run(readInstallation)
  if (issuer !== undefined && installation.issuer !== issuer)
    findings.push(
      fault(
        'issuer',
        `MINTMARK_ISSUER is "${issuer}", and the installation has "${installation.issuer}"`,
        'Set the same issuer everywhere.',
      ),
    )
  const restores = await database.run(db => readRestores(db, MOST_RESTORES))
  findings.push(
    restores.some(({ reconciledAt }) => !reconciledAt)
      ? fault(
          'restore',
          'the database was restored, and what ended after the backup is not ended again',
          'Run: mintmark restore status',
        )
      : ok('restore', 'no restore of the database is pending'),
  )
  return findings
}

function clockFinding(aheadMs: number): Finding {
  if (Math.abs(aheadMs) <= LARGEST_CLOCK_DIFFERENCE_MS) return ok('database clock', 'in sync with this host')
  const seconds = Math.round(Math.abs(aheadMs) / 1000)
  return fault(
    'database clock',
    `this host is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} the database, whose time is in tokens`,
    'Check the time synchronisation of both: gateways tolerate 60 s.',
  )
}
