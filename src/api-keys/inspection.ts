import type { Database } from '../database/database.ts'
import { type ApiKey, parseCredential } from './api-key.ts'
import { findApiKey, findSecretOwner } from './api-key-repository.ts'
import { findLookups } from './imported/imported-client-repository.ts'
import { sha256Of } from './imported/imported-hash.ts'
import { mayBeLookup } from './imported/lookup-secret.ts'
import type { KeyDigests } from './key-digest.ts'

/** What a presented string is. */
export interface Inspection {
  /** It has the form and the checksum of an API key. */
  wellFormed: boolean
  found?: { key: ApiKey; secretId: string }
}

/** The key of a string, in any state: of Mintmark's own form, or imported and found by itself. */
export async function inspectSecret(
  database: Database,
  keyDigests: KeyDigests,
  presented: string,
): Promise<Inspection> {
  const wellFormed = parseCredential(presented)?.prefix === 'mmk'
  if (!wellFormed && !mayBeLookup(presented)) return { wellFormed }
  const digests = keyDigests.forFinding(presented)
  const hash = sha256Of(presented)
  return database.run(async db => {
    const owner = wellFormed ? await findSecretOwner(db, digests) : (await findLookups(db, [hash])).get(hash)
    const key = owner && (await findApiKey(db, owner.keyId))
    return { wellFormed, ...(key && { found: { key, secretId: owner.secretId } }) }
  })
}
