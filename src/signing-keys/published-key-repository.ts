import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { PublicJwk } from './signing-key.ts'
import type { SigningKeyRow } from './signing-key-seal.ts'

/** Ten keys are published at most; the others were not written by Mintmark. */
const MOST_ROWS = 200
/** Longer values are cut or left out: then the seal is wrong. Those of a key with RSA 2048 have a third of it. */
const MOST_BYTES = 8_192
/** An id in full, for every row that Mintmark writes. */
const LONGEST_ID = 128

/** The published rows that were read. */
export interface PublishedRows {
  rows: SigningKeyRow[]
  /** There are more. A genuine one may be among those that were not read. */
  crowded: boolean
}

/** Rows as they are stored, genuine or not, bounded in size: no forged value takes more memory than a genuine one. */
export function selectRows(db: Handle) {
  // The size of JSON in text is known only after it was decompressed: first its stored size is compared.
  const jwk = sql<PublicJwk>`CASE WHEN pg_column_size(public_jwk) <= ${MOST_BYTES} THEN
    CASE WHEN octet_length(public_jwk::text) <= ${MOST_BYTES} THEN public_jwk END END`
  return db
    .selectFrom('signing_keys')
    .select([cut('kid', LONGEST_ID).as('kid'), 'alg', 'state', jwk.as('public_jwk'), 'held'])
    .select(sql<Buffer | null>`substr(private_encrypted, 1, ${MOST_BYTES})`.as('private_encrypted'))
    .select(cut<string | null>('encryption_key_id', LONGEST_ID).as('encryption_key_id'))
    .select(['published_at', 'activates_at', 'retires_at', 'forgets_at', 'removed_at', 'revoked_at'])
    .select(cut<string | null>('revoked_reason', MOST_BYTES).as('revoked_reason'))
    .select(cut<string | null>('sealed_with', LONGEST_ID).as('sealed_with'))
    .select(sql<Buffer | null>`substr(seal, 1, 64)`.as('seal'))
}

const cut = <T = string>(column: string, length: number) => sql<T>`left(${sql.ref(column)}, ${length})`

/** Selects a row by its id as `selectRows` returned it. */
export const hasId = (kid: string) =>
  sql<boolean>`(kid = ${kid} OR length(kid) > ${LONGEST_ID} AND left(kid, ${LONGEST_ID}) = ${kid})`

/**
 * The published rows as they are stored, genuine or not, the oldest first. Those of `known`, the kids that this process
 * has verified before, are always among them, however many others there are.
 */
export async function publishedRows(db: Handle, known: readonly string[] = []): Promise<PublishedRows> {
  const which = sql<boolean>`kid IN (
    SELECT kid FROM signing_keys WHERE kid = ANY (${[...known]}::text[]) AND state <> 'removed'
    UNION (SELECT kid FROM signing_keys WHERE state <> 'removed' LIMIT ${MOST_ROWS + 1}))`
  const rows = await selectRows(db).where(which).orderBy('published_at').orderBy('kid').execute()
  return { rows: rows as SigningKeyRow[], crowded: rows.length > MOST_ROWS }
}

/**
 * When the set of published keys was last changed, as epoch milliseconds, by the database's clock. Times in the future are
 * left out: Mintmark did not write them.
 */
export async function publishedSetModifiedAt(db: Handle): Promise<number | undefined> {
  const changed = sql<Date | null>`greatest(published_at, removed_at)`
  const row = await db
    .selectFrom('signing_keys')
    .select(sql<Date | null>`max(${changed})`.as('modified_at'))
    .where(sql<boolean>`${changed} <= now()`)
    .executeTakeFirst()
  return row?.modified_at?.getTime()
}
