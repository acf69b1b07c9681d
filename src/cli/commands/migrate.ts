import { readConfig } from '../../config/config.ts'
import { Env } from '../../config/env.ts'
import { migrate } from '../../database/migrate.ts'

/** Brings the schema up to date as the owner role, and applies db/roles.sql. @throws {Error} that says what to do */
export async function runMigrations(environment: NodeJS.ProcessEnv): Promise<void> {
  const url = environment.MIGRATE_DATABASE_URL || environment.DATABASE_URL
  if (!url)
    throw new Error(
      'set MIGRATE_DATABASE_URL to the owner role of the database; the embedded database migrates by itself',
    )
  readConfig(new Env({ MIGRATE_DATABASE_URL: url }))
  const applied = await migrate(url)
  const what = applied.length === 0 ? 'The schema is up to date.' : `Applied ${applied.join(', ')}.`
  process.stdout.write(`${what} Roles are as in db/roles.sql.\n`)
}
