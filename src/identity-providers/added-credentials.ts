import { lockApiKeys } from '../api-keys/api-key-repository.ts'
import type { Mutation } from '../audit/audit-log.ts'
import { type AddedCredential, findAddedCredentials } from './added-credential-repository.ts'
import { deleteCredential } from './key-credential-repository.ts'

/**
 * Deletes at most `most` of the credentials that certain administrators added to keys of others; fewer mean that none is left.
 * `creators` are ids of admin tokens.
 */
export async function deleteAddedCredentials(
  { trx, record }: Mutation,
  creators: readonly string[],
  { reason, most }: { reason: string | null; most: number },
): Promise<AddedCredential[]> {
  const found = most > 0 ? await findAddedCredentials(trx, creators, most) : []
  // A credential is changed under the lock of its key. Read after the locks were granted: others may have been added since.
  await lockApiKeys(trx, [...new Set(found.map(({ keyId }) => keyId))])
  const locked = new Set(found.map(({ id }) => id))
  const credentials = (await findAddedCredentials(trx, creators, most)).filter(({ id }) => locked.has(id))
  for (const { id: credentialId, keyId: id, tenantId } of credentials) {
    await deleteCredential(trx, id, credentialId)
    const changes = { credentialId: { from: credentialId }, reason: { to: reason } }
    record(
      { action: 'key.credential-delete', targetKind: 'key', targetId: id, tenantId, changes },
      { kind: 'key', id },
    )
  }
  return credentials
}
