import { sql } from 'kysely'
import { isUsable } from '../api-keys/key-state-repository.ts'
import type { Handle } from '../database/database.ts'
import type { Introspector } from './introspector.ts'

/** All introspection tokens that are neither revoked nor expired. */
export async function readIntrospectors(db: Handle): Promise<Introspector[]> {
  const { rows } = await sql<{
    id: string
    digest: string
    audiences: string[]
    expires_at: number | null
  }>`
    SELECT id, encode(digest, 'base64') AS digest, audiences,
      (extract(epoch FROM expires_at) * 1000)::float8 AS expires_at
    FROM admin_tokens WHERE role = 'introspector' AND ${isUsable('admin_tokens')}`.execute(db)
  return rows.map(({ id, digest, audiences, expires_at }) => ({
    id,
    digest,
    audiences,
    expiresAt: expires_at,
  }))
}
