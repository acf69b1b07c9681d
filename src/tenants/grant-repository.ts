import { type RawBuilder, sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { Model } from './model.ts'

/**
 * Grants: the models and adapters that a tenant may use or a key is restricted to. They are rows, so that foreign keys
 * prevent the deletion of a granted name.
 */

const GRANTS = {
  tenant: { table: 'tenant_grants', owner: 'tenant_id' },
  key: { table: 'key_grants', owner: 'key_id' },
} as const

type Owner = keyof typeof GRANTS

/** A subquery: the granted names of one kind, in their given order. `id` is a column reference. */
export function grantedNames(
  owner: Owner,
  id: RawBuilder<unknown>,
  kind: Model['kind'],
): RawBuilder<string[]> {
  const { table, owner: column } = GRANTS[owner]
  return sql<string[]>`coalesce((
    SELECT array_agg(granted.model ORDER BY granted.position) FROM ${sql.table(table)} AS granted
    JOIN models ON models.name = granted.model
    WHERE granted.${sql.ref(column)} = ${id} AND models.kind = ${kind}), '{}')`
}

/** Sets an owner's grants to exactly these names, models and adapters together. */
export async function replaceGrants(
  trx: Handle,
  owner: Owner,
  id: string,
  names: readonly string[],
): Promise<void> {
  const { table, owner: column } = GRANTS[owner]
  await removeGrants(trx, owner, [id])
  if (names.length === 0) return
  await sql`INSERT INTO ${sql.table(table)} (${sql.ref(column)}, model, position)
    SELECT ${id}, model, position FROM unnest(${names}::text[]) WITH ORDINALITY AS list (model, position)`.execute(
    trx,
  )
}

export async function removeGrants(trx: Handle, owner: Owner, ids: readonly string[]): Promise<void> {
  const { table, owner: column } = GRANTS[owner]
  await sql`DELETE FROM ${sql.table(table)} WHERE ${sql.ref(column)} = ANY (${ids}::text[])`.execute(trx)
}
