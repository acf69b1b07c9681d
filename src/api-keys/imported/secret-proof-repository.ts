import { sql } from 'kysely'
import type { Handle } from '../../database/database.ts'

/** Deletes the proofs of all secrets of these keys. */
export async function deleteProofsOfKeys(trx: Handle, keyIds: readonly string[]): Promise<void> {
  await sql`DELETE FROM secret_proofs AS p USING api_key_secrets AS s
    WHERE s.id = p.secret_id AND s.key_id = ANY (${keyIds}::text[])`.execute(trx)
}

export async function deleteProofs(trx: Handle, secretIds: readonly string[]): Promise<void> {
  await trx
    .deleteFrom('secret_proofs')
    .where('secret_id', 'in', [...secretIds])
    .execute()
}

/** Deletes proofs of secrets that can never be used again: they or their key were revoked, or they ended. */
export async function pruneProofs(db: Handle): Promise<void> {
  await sql`
    DELETE FROM secret_proofs AS p USING api_key_secrets AS s, api_keys AS k
    WHERE s.id = p.secret_id AND k.id = s.key_id
      AND (s.revoked_at IS NOT NULL OR k.revoked_at IS NOT NULL OR s.ends_at <= now())`.execute(db)
}
