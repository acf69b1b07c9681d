import type { Database } from './database.ts'
import { databaseFault } from './database-fault.ts'
import { missingRights } from './rights.ts'

/** What fails at the database of a replica that is ready, with the cure; undefined: nothing. */
export async function databaseWarning(databases: {
  database: Database
  directoryDatabase: Database
}): Promise<string | undefined> {
  return (await missingRights(databases.directoryDatabase)) ?? databaseFault(databases.database.serverFault)
}
