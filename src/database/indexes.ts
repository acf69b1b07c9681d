import { readFile } from 'node:fs/promises'
import { type Kysely, sql } from 'kysely'
import type { Database } from './database.ts'
import { DB_FOLDER } from './db-folder.ts'

/** The name of the index that a statement of db/indexes.sql creates. */
const STATEMENT = /^CREATE (?:UNIQUE )?INDEX CONCURRENTLY IF NOT EXISTS (\w+)\s+ON\s/

interface Index {
  name: string
  statement: string
}

/** The statements of db/indexes.sql. @throws {Error} for a statement of another form. */
async function readIndexes(): Promise<Index[]> {
  const text = await readFile(new URL('indexes.sql', DB_FOLDER), 'utf8')
  const statements = text
    .replaceAll(/--.*$/gm, '')
    .split(';')
    .map(statement => statement.trim())
    .filter(statement => statement !== '')
  return statements.map(statement => {
    const name = STATEMENT.exec(statement)?.[1]
    if (name === undefined) throw new Error(`db/indexes.sql: not of the form that it asks for: ${statement}`)
    return { name, statement }
  })
}

/**
 * Creates the missing indexes of db/indexes.sql one by one, concurrently with reads and writes. It runs outside of
 * transactions, so a crash leaves at most one invalid index, which the next run drops and creates again. Must not run
 * twice at the same time.
 */
export async function buildIndexes(db: Kysely<unknown>): Promise<void> {
  for (const { name, statement } of await readIndexes()) {
    if ((await stateOf(db, name)) === 'unusable')
      await sql`DROP INDEX CONCURRENTLY IF EXISTS ${sql.ref(name)}`.execute(db)
    await sql.raw(statement).execute(db)
  }
}

/** Indexes of this version that the database lacks: everything works without them, but lists are slow. */
export async function missingIndexes(database: Database): Promise<string[]> {
  const missing: string[] = []
  for (const { name } of await readIndexes()) {
    if ((await database.run(db => stateOf(db, name))) !== 'usable') missing.push(name)
  }
  return missing
}

async function stateOf(
  db: Pick<Kysely<never>, 'getExecutor'>,
  name: string,
): Promise<'usable' | 'unusable' | 'absent'> {
  const { rows } = await sql<{ valid: boolean }>`
    SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass(${name})`.execute(db)
  const [row] = rows
  return row ? (row.valid ? 'usable' : 'unusable') : 'absent'
}
