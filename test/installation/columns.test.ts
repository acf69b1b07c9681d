import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { IMPORTED_SECRET } from '../../src/api-keys/imported/imported-secret-seal.ts'
import { IDENTITY_PROVIDER, KEY_CREDENTIAL } from '../../src/identity-providers/identity-seals.ts'
import { SIGNING_KEY } from '../../src/signing-keys/signing-key-seal.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { UNSEALED } from './columns.ts'

/** Every column of the database is sealed, or it is known what a change of it does. */
const SEALED = [SIGNING_KEY, IMPORTED_SECRET, IDENTITY_PROVIDER, KEY_CREDENTIAL]
const page = readFileSync(new URL('../../docs/sealed-rows.md', import.meta.url), 'utf8')

let database: TestDatabase
let columns: { table: string; column: string }[]
beforeAll(async () => {
  database = await createTestDatabase()
  columns = await database.asOwner(
    `SELECT c.relname AS table, a.attname AS column FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND a.attnum > 0 AND NOT a.attisdropped`,
  )
})
afterAll(() => database.drop())

const words = (text = '') => text.split(' ').filter(word => word !== '')
const known = () =>
  Object.entries(UNSEALED).flatMap(([table, { pepper, honoured, record }]) =>
    [pepper, honoured, record].flatMap(words).map(column => `${table}.${column}`),
  )

/** The list of migrations says what the next version of the schema is. */
const isOfMigrations = (table: string) => /migrations?$/.test(table)

describe('every column', () => {
  it('is in a table with a seal, or in the list, once', () => {
    const sealed: string[] = SEALED.map(({ table }) => table)
    const found = columns
      .filter(({ table }) => !sealed.includes(table) && !isOfMigrations(table))
      .map(({ table, column }) => `${table}.${column}`)
    expect(known().toSorted()).toEqual(found.toSorted())
  })

  it('that is honoured is in a table that docs/sealed-rows.md names', () => {
    const tables = Object.entries(UNSEALED)
      .filter(([, { pepper, honoured }]) => pepper ?? honoured)
      .map(([table]) => table)
    expect(tables.filter(table => !page.includes(`\`${table}\``))).toEqual([])
  })
})
