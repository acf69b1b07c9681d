import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { inject } from 'vitest'

/** A database for one test file, copied from the migrated template. */
export interface TestDatabase {
  name: string
  ownerUrl: string
  applicationUrl: string
  /** Runs one statement as the owner, for changes that no API allows. */
  asOwner<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    statement: string,
    values?: unknown[],
  ): Promise<Row[]>
  drop(): Promise<void>
}

export async function createTestDatabase(options: { empty?: boolean } = {}): Promise<TestDatabase> {
  const postgres = inject('postgres')
  const name = `mintmark_t_${randomBytes(6).toString('hex')}`
  const template = options.empty ? 'template0' : postgres.template
  await run(postgres.ownerUrl, `CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY file_copy`)
  const owner = new URL(postgres.ownerUrl)
  owner.pathname = `/${name}`
  // A connection costs more than a statement.
  const pool = new pg.Pool({ connectionString: owner.href, max: 2, allowExitOnIdle: true })
  // Tests stop the server, and terminate sessions.
  pool.on('error', () => {})
  const application = new URL(owner)
  application.username = postgres.applicationUser
  application.password = postgres.applicationPassword
  return {
    name,
    ownerUrl: owner.href,
    applicationUrl: application.href,
    asOwner: async <Row extends pg.QueryResultRow>(statement: string, values: unknown[] = []) =>
      (await pool.query<Row>(statement, values)).rows,
    drop: async () => {
      if (!pool.ended) await pool.end()
      await run(postgres.ownerUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    },
  }
}

async function run(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await client.query(statement)
  } finally {
    await client.end()
  }
}
