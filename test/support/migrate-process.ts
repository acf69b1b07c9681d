import { migrate } from '../../src/database/migrate.ts'

/** A process that migrates and prints, as JSON, what it applied. */
process.stdout.write(JSON.stringify(await migrate(process.env.MIGRATE_DATABASE_URL ?? '')))
