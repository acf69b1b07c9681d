import { readMigrateDatabase } from '../../config/config.ts'
import { Env } from '../../config/env.ts'
import { databaseFault } from '../../database/database-fault.ts'
import { migrate } from '../../database/migrate.ts'
import { CannotStart } from '../../errors.ts'
import { streams } from '../streams.ts'

/** Brings the schema up to date as the owner role, and applies db/roles.sql. @throws {CannotStart} with the cure */
export async function runMigrations(environment: NodeJS.ProcessEnv): Promise<void> {
  const { url, ...options } = readMigrateDatabase(new Env(environment))
  const applied = await migrate(url, options).catch(error => {
    if (error instanceof CannotStart) throw error
    const fault = databaseFault(error)
    throw fault === undefined ? error : new CannotStart(fault, { cause: error })
  })
  const what = applied.length === 0 ? 'The schema is up to date.' : `Applied ${applied.join(', ')}.`
  streams().stdout.write(`${what} Roles are as in db/roles.sql.\n`)
}
