import { readMigrateUrl } from '../../config/config.ts'
import { Env } from '../../config/env.ts'
import { migrate } from '../../database/migrate.ts'

/** Brings the schema up to date as the owner role, and applies db/roles.sql. @throws {ConfigError} */
export async function runMigrations(environment: NodeJS.ProcessEnv): Promise<void> {
  const applied = await migrate(readMigrateUrl(new Env(environment)).reveal())
  const what = applied.length === 0 ? 'The schema is up to date.' : `Applied ${applied.join(', ')}.`
  process.stdout.write(`${what} Roles are as in db/roles.sql.\n`)
}
