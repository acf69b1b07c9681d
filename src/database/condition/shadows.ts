import { sql } from 'kysely'
import type { Database } from '../database.ts'

interface Found {
  schema: string
  name: string
}

/**
 * A function or operator of another role next to our tables, which Postgres may take for its own: an exact match of the types
 * wins over the place in search_path. It would run with our rights. With the cure; undefined: there is none. Looked at with
 * nothing but pg_catalog in search_path, so that none of them runs here. What extensions, superusers and the owners of the
 * database, the schema or the tables created is theirs to choose.
 */
export async function shadows(database: Database): Promise<string | undefined> {
  const { rows } = await database.readSnapshot(async trx => {
    const named = await sql<{ schema: string | null }>`SELECT current_schema() AS schema`.execute(trx)
    await sql`SET LOCAL search_path = pg_catalog`.execute(trx)
    return found(named.rows[0]?.schema ?? '').execute(trx)
  })
  const [first] = rows
  return (
    first &&
    `The schema "${first.schema}" has ${first.name} of another role, which may run with the rights of Mintmark in place of one of Postgres: drop it, and revoke CREATE on the schema from that role and from PUBLIC.`
  )
}

/** Everybody may create such functions; undefined: not so. `migrate` revokes it, but only as the owner of the schema. */
export async function openSchema(database: Database): Promise<string | undefined> {
  const { rows } = await database.run(db =>
    sql<{ schema: string }>`
      SELECT nspname AS schema FROM pg_namespace, aclexplode(nspacl) AS granted
      WHERE nspname = current_schema() AND granted.grantee = 0 AND granted.privilege_type = 'CREATE'`.execute(
      db,
    ),
  )
  const [row] = rows
  return (
    row &&
    `Every role may create functions in the schema "${row.schema}", and they may run with the rights of Mintmark. As its owner: REVOKE CREATE ON SCHEMA "${row.schema}" FROM PUBLIC.`
  )
}

const found = (schema: string) => sql<Found>`
  WITH home AS (SELECT oid, nspname, nspowner FROM pg_namespace WHERE nspname = ${schema}::text),
  trusted AS (
    SELECT oid FROM pg_roles WHERE rolsuper
    UNION SELECT nspowner FROM home
    UNION SELECT datdba FROM pg_database WHERE datname = current_database()
    UNION SELECT relowner FROM pg_class JOIN home ON relnamespace = home.oid WHERE relname = 'mintmark_migration'
  ), others AS (
    SELECT 'pg_proc'::regclass AS kind, p.oid, format('the function %s', p.oid::regprocedure) AS name, proname AS called
    FROM pg_proc AS p JOIN home ON pronamespace = home.oid WHERE proowner NOT IN (SELECT oid FROM trusted)
    UNION ALL
    SELECT 'pg_operator'::regclass, o.oid, format('the operator %s', o.oid::regoperator), oprname
    FROM pg_operator AS o JOIN home ON oprnamespace = home.oid WHERE oprowner NOT IN (SELECT oid FROM trusted)
  )
  SELECT ${schema}::text AS schema, name FROM others
  WHERE (CASE WHEN kind = 'pg_proc'::regclass
      THEN EXISTS (SELECT FROM pg_proc AS p WHERE p.proname = called AND p.oid <> others.oid
        AND p.pronamespace IN ('pg_catalog'::regnamespace, (SELECT oid FROM home)))
      ELSE EXISTS (SELECT FROM pg_operator AS o WHERE o.oprname = called AND o.oprnamespace = 'pg_catalog'::regnamespace) END)
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = kind AND d.objid = others.oid AND d.deptype = 'e')
  ORDER BY name LIMIT 1`
