import type { AliasableExpression } from 'kysely'
import type { Handle } from './database.ts'

/** Number of rows of this query. With a limit counting stops there. */
export async function countOf(db: Handle, rows: AliasableExpression<object>): Promise<number> {
  const { count } = await db
    .selectFrom(rows.as('matching'))
    .select(eb => eb.fn.countAll<string>().as('count'))
    .executeTakeFirstOrThrow()
  return Number(count)
}
