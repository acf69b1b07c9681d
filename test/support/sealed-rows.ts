import pg from 'pg'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { Database } from '../../src/database/database.ts'
import { RowSeals } from '../../src/installation/row-seals.ts'
import { generateSigningKey } from '../../src/signing-keys/signing-key.ts'
import { publishedRows, sealSigningKey } from '../../src/signing-keys/signing-key-repository.ts'
import { createLogger } from '../../src/system/logger.ts'
import type { TestDatabase } from './test-database.ts'

type Environment = Readonly<Record<string, string>>
type Place = Pick<TestDatabase, 'ownerUrl'>

function sealsOf(environment: Environment): RowSeals {
  const { encryptionKeys, peppers } = readConfig(new Env(environment))
  return new RowSeals({ encryptionKeys, peppers })
}

/**
 * Changes signing keys by SQL as a holder of the keys would: for times that no API sets. All published rows are sealed
 * afterwards. Replicas are notified.
 */
export async function rewriteSigningKeys(
  database: Place,
  environment: Environment,
  statement: string,
  values: unknown[] = [],
): Promise<void> {
  await asOwnerUnchecked(database, statement, values)
  const owner = new Database({ url: database.ownerUrl, maxConnections: 1, logger: createLogger('silent') })
  await owner.run(async db => {
    for (const row of await publishedRows(db)) await sealSigningKey(db, sealsOf(environment), row)
  })
  await owner.close()
  await asOwnerUnchecked(
    database,
    `WITH next AS (UPDATE change_counter SET number = number + 1 RETURNING number)
    INSERT INTO change_feed (number, changes)
      SELECT number, '[{"kind": "signing-keys", "id": ""}]'::jsonb FROM next RETURNING pg_notify('mintmark_changes', '')`,
  )
}

/** Adds a genuine retiring key, without its private half; returns its kid. */
export async function addRetiringKey(database: Place, environment: Environment): Promise<string> {
  const { kid, publicJwk } = await generateSigningKey('ES256')
  await rewriteSigningKeys(
    database,
    environment,
    `INSERT INTO signing_keys (kid, alg, state, public_jwk, published_at, retires_at)
      VALUES ($1, 'ES256', 'retiring', $2, date_trunc('second', now()), date_trunc('second', now()) + interval '1 hour')`,
    [kid, JSON.stringify(publicJwk)],
  )
  return kid
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
