import type { Mutation } from '../audit/audit-log.ts'
import type { Handle } from '../database/database.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import { type AddedSecret, countAddedSecrets, findAddedSecrets } from './added-secret-repository.ts'
import type { ApiKey } from './api-key.ts'
import { lockApiKeys, setSecretsRevoked } from './api-key-repository.ts'
import { countUnrevoked, findUnrevoked } from './key-revocation-repository.ts'
import { revokeLocked } from './key-revocations.ts'

/** Unrevoked keys that certain administrators created, and usable secrets that they added to keys of others by rotation. */
export interface CreatedKeys {
  keys: readonly ApiKey[]
  secrets: readonly AddedSecret[]
}

/** At most `most` of each, newest first. `creators` are ids of admin tokens. */
export async function findCreated(
  db: Handle,
  creators: readonly string[],
  most: number,
): Promise<CreatedKeys> {
  const keys = await findUnrevoked(db, { createdBy: creators }, { limit: most, lock: false })
  return { keys, secrets: await findAddedSecrets(db, creators, most) }
}

/** Stops counting at `most`, for each kind. */
export async function countCreated(
  db: Handle,
  creators: readonly string[],
  most: number,
): Promise<{ keys: number; secrets: number }> {
  const keys = await countUnrevoked(db, { createdBy: creators }, most)
  return { keys, secrets: await countAddedSecrets(db, creators, most) }
}

/** Revokes at most `most` of them, keys first; fewer mean that none is left. */
export async function revokeCreated(
  { trx, record }: Mutation,
  seals: RowSeals,
  creators: readonly string[],
  { reason, most }: { reason: string | null; most: number },
): Promise<CreatedKeys> {
  const keys = await findUnrevoked(trx, { createdBy: creators }, { limit: most, lock: true })
  await revokeLocked({ trx, record }, seals, keys, reason)
  const secrets = keys.length < most ? await lockAddedSecrets(trx, creators, most - keys.length) : []
  await setSecretsRevoked(
    trx,
    secrets.map(({ id }) => id),
  )
  for (const { id: secretId, keyId: id, tenantId } of secrets) {
    const changes = { secretId: { to: secretId }, reason: { to: reason } }
    record(
      { action: 'key.secret-revoke', targetKind: 'key', targetId: id, tenantId, changes },
      { kind: 'key', id },
    )
  }
  return { keys, secrets }
}

/** A secret is changed under the lock of its key. */
async function lockAddedSecrets(
  trx: Handle,
  creators: readonly string[],
  most: number,
): Promise<AddedSecret[]> {
  const found = await findAddedSecrets(trx, creators, most)
  await lockApiKeys(trx, [...new Set(found.map(({ keyId }) => keyId))])
  // Read after the locks were granted. Others may have been added since, so only the locked ones count.
  const locked = new Set(found.map(({ id }) => id))
  return (await findAddedSecrets(trx, creators, most)).filter(({ id }) => locked.has(id))
}
