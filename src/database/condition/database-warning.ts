import type { Database } from '../database.ts'
import { databaseFault } from '../database-fault.ts'
import { pendingMigrations } from '../migrations.ts'
import { brokenCounter } from './change-counter.ts'
import { foreignObjects } from './foreign-objects.ts'
import { heldLock } from './held-locks.ts'
import { missingRights } from './rights.ts'
import { shadows } from './shadows.ts'

/** What fails at the database of a replica that is ready, with the cure; undefined: nothing. */
export async function databaseWarning(databases: {
  database: Database
  directoryDatabase: Database
}): Promise<string | undefined> {
  const { database, directoryDatabase } = databases
  // Those that read a table are last: another session may have locked it.
  return (
    (await shadows(directoryDatabase)) ??
    (await missingRights(directoryDatabase)) ??
    (await foreignObjects(directoryDatabase)) ??
    (await heldLock(directoryDatabase)) ??
    databaseFault(database.serverFault) ??
    (await olderSchema(directoryDatabase)) ??
    (await brokenCounter(directoryDatabase))
  )
}

/** A replica starts with the whole schema: only a restore takes a part of it. */
async function olderSchema(database: Database): Promise<string | undefined> {
  const pending = await pendingMigrations(database)
  return pending.length === 0
    ? undefined
    : `The database lacks the migrations ${pending.join(', ')}, as after a restore: run "mintmark migrate" with MIGRATE_DATABASE_URL set to the owner role.`
}
