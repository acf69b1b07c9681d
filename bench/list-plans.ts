import { type CompiledQuery, Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { KeyFilter } from '../src/api-keys/key-filter.ts'
import { listApiKeys } from '../src/api-keys/key-list-repository.ts'
import { readRows } from '../src/audit/audit-event-repository.ts'
import type { Schema } from '../src/database/schema.ts'

export interface Plan {
  what: string
  /** The output of EXPLAIN (ANALYZE, BUFFERS). */
  lines: string[]
}

const before = (days: number) => new Date(Date.now() - days * 86_400_000)
const KEYS: Record<string, KeyFilter> = {
  'all keys': {},
  'a tenant': { tenantId: 'tenant-77' },
  'a label that most have': { label: { name: 'env', value: 'prod' } },
  'a label of old keys only': { label: { name: 'legacy' } },
  'expired or soon to be': { expiresBefore: before(-7) },
  'unused for 30 days': { unusedSince: before(30) },
}

/** The plans of the repositories' statements. */
export async function plans(url: string): Promise<Plan[]> {
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  let last: CompiledQuery | undefined
  const log = ({ query }: { query: CompiledQuery }) => {
    last = query
  }
  const db = new Kysely<Schema>({ dialect: new PostgresDialect({ pool }), log })
  const explain = async (what: string, ask: () => Promise<unknown>): Promise<Plan> => {
    await ask()
    const { sql, parameters } = last as CompiledQuery
    const { rows } = await pool.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) ${sql}`,
      [...parameters],
    )
    return { what, lines: rows.map(row => row['QUERY PLAN']) }
  }
  try {
    const found: Plan[] = []
    for (const [what, filter] of Object.entries(KEYS))
      found.push(await explain(what, () => listApiKeys(db, filter, { limit: 50, after: null })))
    const time = { actor: 'root', to: before(365).toISOString() }
    found.push(await explain('of root until a year ago', () => readRows(db, { before: null }, 51, time)))
    return found
  } finally {
    await db.destroy()
  }
}
