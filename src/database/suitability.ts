import { type Kysely, sql } from 'kysely'
import { CannotStart } from '../errors.ts'
import type { Database } from './database.ts'
import { quoted } from './transaction-settings.ts'

const OLDEST = 15

interface Server {
  version: number
  encoding: string
  database: string
  role: string
}

/** Why this database cannot be used, with the cure; undefined: it can. */
export async function databaseMisfit(database: Database): Promise<string | undefined> {
  return misfit(await database.run(readServer))
}

/**
 * What the owner needs before the first statement of a migration, so that its fault has a name. Creates the schema where
 * it may. @throws {CannotStart}
 */
export async function prepareForMigration(trx: Kysely<unknown>, schema: string): Promise<void> {
  const server = await readServer(trx)
  const fault = misfit(server)
  if (fault !== undefined) throw new CannotStart(fault)
  const { role, database } = server
  const owner = await foreignOwner(trx)
  if (owner !== undefined)
    throw new CannotStart(
      `The tables in the schema "${schema}" belong to the role "${owner}", and MIGRATE_DATABASE_URL connects as "${role}". Set MIGRATE_DATABASE_URL to the owner role (db/README.md).`,
    )
  const { rows } = await sql<{ exists: boolean; create: boolean; createSchema: boolean }>`
    SELECT to_regnamespace(${quoted(schema)}) IS NOT NULL AS exists,
      has_schema_privilege(to_regnamespace(${quoted(schema)}), 'CREATE') AS "create",
      has_database_privilege(current_database(), 'CREATE') AS "createSchema"`.execute(trx)
  const [rights] = rows
  if (rights?.exists) {
    if (!rights.create) throw new CannotStart(cannotCreateTables(role, schema))
    return
  }
  if (!rights?.createSchema)
    throw new CannotStart(
      `The database "${database}" has no schema "${schema}", and the role "${role}" may not create it. As an administrator of the database: CREATE SCHEMA ${quoted(schema)} AUTHORIZATION ${quoted(role)}.`,
    )
  await sql`CREATE SCHEMA IF NOT EXISTS ${sql.id(schema)}`.execute(trx)
}

const cannotCreateTables = (role: string, schema: string) =>
  `The role "${role}" may not create tables in the schema "${schema}". If it is the role of the service, set MIGRATE_DATABASE_URL to the owner role (db/README.md). Otherwise, as an administrator of the database: GRANT CREATE ON SCHEMA ${quoted(schema)} TO ${quoted(role)}. Or give it a schema of its own: CREATE SCHEMA mintmark AUTHORIZATION ${quoted(role)}, with MINTMARK_DATABASE_SCHEMA=mintmark for "migrate" and for the service.`

/** The owner of existing tables, when this role cannot act as it. */
async function foreignOwner(trx: Kysely<unknown>): Promise<string | undefined> {
  const { rows } = await sql<{ owner: string }>`
    SELECT pg_get_userbyid(relowner) AS owner FROM pg_class
    WHERE oid = to_regclass('mintmark_migration') AND NOT pg_has_role(relowner, 'USAGE')`.execute(trx)
  return rows[0]?.owner
}

async function readServer(db: Pick<Kysely<never>, 'getExecutor'>): Promise<Server> {
  const { rows } = await sql<Server>`
    SELECT current_setting('server_version_num')::int / 10000 AS version, current_database() AS database,
      current_setting('server_encoding') AS encoding, current_user AS role`.execute(db)
  const [server] = rows
  if (!server) throw new Error('the database did not describe itself')
  return server
}

function misfit({ version, encoding, database }: Server): string | undefined {
  if (version < OLDEST) return `The server is Postgres ${version}: Mintmark needs ${OLDEST} or later.`
  if (encoding !== 'UTF8')
    return `The database "${database}" has the encoding ${encoding}, which cannot store every text: Mintmark needs UTF8. Create another database: CREATE DATABASE mintmark ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0.`
  return undefined
}
