import { CompiledQuery, sql } from 'kysely'
import pg from 'pg'
import {
  importedSealedOtherwise,
  sealImportedRows,
} from '../../src/api-keys/imported/imported-client-repository.ts'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { Database, type Handle } from '../../src/database/database.ts'
import { RowSeals } from '../../src/installation/row-seals.ts'
import { publishedRows } from '../../src/signing-keys/published-key-repository.ts'
import { generateSigningKey } from '../../src/signing-keys/signing-key.ts'
import { sealSigningKey } from '../../src/signing-keys/signing-key-repository.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PATIENT } from './patient.ts'
import type { TestDatabase } from './test-database.ts'
import { until } from './until.ts'

type Environment = Readonly<Record<string, string>>
type Place = Pick<TestDatabase, 'ownerUrl'>

export function sealsOf(environment: Environment): RowSeals {
  const { encryptionKeys, peppers } = readConfig(new Env(environment))
  return new RowSeals({ encryptionKeys, peppers })
}

/**
 * Changes signing keys by SQL as a holder of the keys would: for times that no API sets. All published rows are sealed
 * in the same transaction: a replica that reads in between would not believe them, and create keys in their place.
 * Replicas are notified.
 */
export async function rewriteSigningKeys(
  database: Place,
  environment: Environment,
  statement: string,
  values: unknown[] = [],
): Promise<void> {
  await rewrite(database, statement, values, async trx => {
    for (const row of (await publishedRows(trx)).rows) await sealSigningKey(trx, sealsOf(environment), row)
    await sql`WITH next AS (UPDATE change_counter SET number = number + 1 RETURNING number)
      INSERT INTO change_feed (number, changes)
        SELECT number, '[{"kind": "signing-keys", "id": ""}]'::jsonb FROM next
        RETURNING pg_notify('mintmark_changes', '')`.execute(trx)
  })
}

/** Changes imported secrets by SQL as a holder of the keys would. */
export async function rewriteImported(
  database: Place,
  environment: Environment,
  statement: string,
  values: unknown[] = [],
): Promise<void> {
  const all = { sealedWith: '', after: '', limit: 1_000, lock: false }
  await rewrite(database, statement, values, async trx =>
    sealImportedRows(trx, sealsOf(environment), await importedSealedOtherwise(trx, all)),
  )
}

/** Past the triggers, and after the lock that the service's own changes take first. */
async function rewrite(
  { ownerUrl }: Place,
  statement: string,
  values: readonly unknown[],
  seal: (trx: Handle) => Promise<void>,
): Promise<void> {
  const owner = new Database({
    url: ownerUrl,
    maxConnections: 1,
    logger: createLogger('silent'),
    timeouts: PATIENT,
  })
  const attempt = async () => {
    await owner.write(async trx => {
      await sql`SET LOCAL session_replication_role = replica`.execute(trx)
      await sql`SELECT FROM installation FOR UPDATE`.execute(trx)
      await trx.executeQuery(CompiledQuery.raw(statement, [...values]))
      await seal(trx)
    })
    return true
  }
  // It gives up early, as in the service: a busy machine needs more than one attempt.
  await until('the rows are changed and sealed', attempt, Boolean, 30_000)
  await owner.close()
}

/** Adds genuine retiring keys, without their private keys; returns their kids. */
export async function addRetiringKeys(
  database: Place,
  environment: Environment,
  count: number,
): Promise<string[]> {
  const made = await Promise.all(Array.from({ length: count }, () => generateSigningKey('ES256')))
  await rewriteSigningKeys(
    database,
    environment,
    `INSERT INTO signing_keys (kid, alg, state, public_jwk, published_at, retires_at)
      SELECT kid, 'ES256', 'retiring', jwk, at, at + interval '1 hour'
      FROM date_trunc('second', now()) AS at, unnest($1::text[], $2::jsonb[]) AS made (kid, jwk)`,
    [made.map(({ kid }) => kid), made.map(({ publicJwk }) => JSON.stringify(publicJwk))],
  )
  return made.map(({ kid }) => kid)
}

/** As the owner, and past the triggers, which only keep older versions from writing. */
export async function asOwnerUnchecked(
  { ownerUrl }: Place,
  statement: string,
  values: unknown[] = [],
): Promise<pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: ownerUrl })
  await client.connect()
  try {
    await client.query('SET session_replication_role = replica')
    return (await client.query(statement, values)).rows
  } finally {
    await client.end()
  }
}
