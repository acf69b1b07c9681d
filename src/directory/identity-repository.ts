import { sql } from 'kysely'
import type { Handle } from '../database/database.ts'
import type { IdentityProvider } from '../identity-providers/identity-provider.ts'
import { providerRows, toProvider } from '../identity-providers/identity-provider-repository.ts'
import { IDENTITY_PROVIDER, KEY_CREDENTIAL } from '../identity-providers/identity-seals.ts'
import type { KeyCredential } from '../identity-providers/key-credential.ts'
import { type CredentialRow, toCredential } from '../identity-providers/key-credential-repository.ts'
import type { RowFault, RowSeals } from '../installation/row-seals.ts'
import type { KnownKey } from './known-key.ts'
import { type KeyRow, selectKeys, toKey } from './known-repository.ts'

/** A key with credentials that are not secrets, in whatever state it is. */
export interface IdentityKey {
  key: KnownKey
  revoked: boolean
  credentials: readonly KeyCredential[]
}

/** What was read, without the rows that are not genuine. */
export interface ReadIdentities {
  providers: IdentityProvider[]
  keys: IdentityKey[]
  /** Rows that are not genuine, by id. */
  untrusted: { providers: Map<string, RowFault>; credentials: Map<string, RowFault> }
}

/** For reads that use genuine rows only, whatever is wrong with the others. */
const NONE_RECORDED = { encryptionKeys: [], peppers: [], current: undefined }

/** Reads providers and keys with their credentials; undefined: all of them. */
export async function readIdentities(
  db: Handle,
  seals: RowSeals,
  {
    providerIds,
    keyIds,
  }: { providerIds: readonly string[] | undefined; keyIds: readonly string[] | undefined },
): Promise<ReadIdentities> {
  const providerFaults = new Map<string, RowFault>()
  const credentialFaults = new Map<string, RowFault>()
  const rows = providerIds?.length === 0 ? [] : await providerRows(db, providerIds)
  const providers = rows.flatMap(row => {
    const { id, definition, sealed_with: sealedWith, seal } = row
    const fault = seals.faultOf(IDENTITY_PROVIDER, { id, definition }, { sealedWith, seal }, NONE_RECORDED)
    if (fault) providerFaults.set(id, fault)
    return fault ? [] : [toProvider(row)]
  })
  const credentials = keyIds?.length === 0 ? [] : await credentialRows(db, keyIds)
  const genuine = credentials.flatMap(row => {
    const { id, key_id, provider_id, definition, sealed_with: sealedWith, seal } = row
    const values = { id, key_id, provider_id, definition }
    const fault = seals.faultOf(KEY_CREDENTIAL, values, { sealedWith, seal }, NONE_RECORDED)
    if (fault) credentialFaults.set(id, fault)
    return fault ? [] : [row]
  })
  const byKey = Map.groupBy(genuine, ({ key_id }) => key_id)
  const ids = [...byKey.keys()]
  const found = ids.length === 0 ? [] : (await selectKeys(sql`k.id = ANY (${ids}::text[])`).execute(db)).rows
  return {
    providers,
    keys: found.map(row => toIdentityKey(row, seals, byKey.get(row.id) ?? [])),
    untrusted: { providers: providerFaults, credentials: credentialFaults },
  }
}

function toIdentityKey(row: KeyRow, seals: RowSeals, credentials: readonly OwnedRow[]): IdentityKey {
  const { secrets: _, ...key } = toKey(row, seals)
  return {
    key: { ...key, secrets: [] },
    revoked: credentials.some(each => each.key_revoked),
    credentials: credentials.map(toCredential),
  }
}

type OwnedRow = CredentialRow & { key_revoked: boolean }

async function credentialRows(db: Handle, keyIds: readonly string[] | undefined): Promise<OwnedRow[]> {
  const which = keyIds === undefined ? sql`true` : sql`c.key_id = ANY (${keyIds}::text[])`
  const { rows } =
    await sql<OwnedRow>`SELECT c.id, c.key_id, c.provider_id, c.definition, c.created_by, c.created_at,
      c.last_used_at, c.sealed_with, c.seal, k.revoked_at IS NOT NULL AS key_revoked
    FROM key_credentials AS c JOIN api_keys AS k ON k.id = c.key_id WHERE ${which} ORDER BY c.seq`.execute(db)
  return rows
}
