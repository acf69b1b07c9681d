import { type Actor, fieldChanges } from '../../audit/audit-event.ts'
import { type Mutation, mutate } from '../../audit/audit-log.ts'
import type { Database, Handle } from '../../database/database.ts'
import { databaseNow } from '../../database/database-time.ts'
import { type Fault, Invalid } from '../../errors.ts'
import { readInstallation } from '../../installation/installation.ts'
import type { RowSeals } from '../../installation/row-seals.ts'
import type { Random } from '../../system/random.ts'
import { registeredModels } from '../../tenants/model-repository.ts'
import { findTenants } from '../../tenants/tenant-repository.ts'
import { randomId } from '../api-key.ts'
import { insertApiKeys, setDisabled } from '../api-key-repository.ts'
import { keyFaults, latestEnd, longestLifetime } from '../key-limits.ts'
import { type ApiKeySettings, defaultKeySettings, type KeyPatch, patchedSettings } from '../key-settings.ts'
import { refuseTooManyKeys, roomForKeys } from '../live-keys.ts'
import { findImported, findLookups, insertImported, type StoredImport } from './imported-client-repository.ts'
import { type ImportedHash, type ImportedScheme, parseHash } from './imported-hash.ts'
import { LOOKUP_SCHEME, latestLookupEnd, secretEndFaults } from './lookup-secret.ts'

/** A client as exported from another system. */
export interface ClientToImport {
  clientId: string
  tenantId: string
  scheme: ImportedScheme
  /** As received. */
  hash: string
  /** When the secret ends, for `sha256-lookup` only: at most 180 days from now, which is the default. */
  endsAt?: Date
  /** The key is created disabled. */
  disabled?: boolean
  /** Settings of its key; defaults are those of any new key. */
  settings: KeyPatch
}

/** The result for one client: `exists` means that the same client was imported before. */
export type ImportedRow =
  | { clientId: string; result: 'created' | 'exists'; keyId: string | null }
  | { clientId: string; result: 'refused'; faults: Fault[] }

interface PlannedRow {
  client: ClientToImport
  settings: ApiKeySettings
  hash: ImportedHash | undefined
  secretEndsAt: Date | null
  existing: StoredImport | undefined
  faults: Fault[]
}

/** Imports clients of another system: a whole list or none of it. */
export class ImportedClients {
  readonly #database: Database
  readonly #random: Random
  readonly #seals: RowSeals

  constructor(options: { database: Database; random: Random; seals: RowSeals }) {
    this.#database = options.database
    this.#seals = options.seals
    this.#random = options.random
  }

  /** The result that `import` would have. */
  async rehearse(clients: readonly ClientToImport[]): Promise<ImportedRow[]> {
    const rows = await this.#database.run(db => plan(db, this.#seals, clients))
    return rows.map(row => report(row, row.existing?.keyId ?? null))
  }

  /**
   * Runs in one transaction. Clients that were imported before with the same values are skipped, so a list can be sent
   * again.
   * @throws {Invalid} for the whole list, with the faults of each client under its index.
   * @throws {Conflict} when another change took the last place of a tenant meanwhile.
   */
  async import(actor: Actor, clients: readonly ClientToImport[]): Promise<ImportedRow[]> {
    return mutate(this.#database, actor, async mutation => {
      const rows = await plan(mutation.trx, this.#seals, clients)
      const faults = rows.flatMap((row, index) =>
        row.faults.map(({ pointer, message }) => ({ pointer: `/clients/${index}${pointer}`, message })),
      )
      if (faults.length > 0) throw new Invalid(faults)
      return this.#insert(mutation, rows, actor.id)
    })
  }

  async #insert(
    { trx, record }: Mutation,
    rows: readonly PlannedRow[],
    createdBy: string,
  ): Promise<ImportedRow[]> {
    const withIds = rows.map(row => ({ row, id: row.existing?.keyId ?? `key_${randomId(this.#random)}` }))
    const fresh = withIds.flatMap(({ row, id }) => {
      if (row.existing || !row.hash) return []
      const { clientId, tenantId, disabled = false } = row.client
      const secretId = `sec_${randomId(this.#random)}`
      const endsAt = row.secretEndsAt
      const secret = { ...row.hash, id: secretId, keyId: id, clientId, createdBy, endsAt }
      return [{ id, tenantId, createdBy, settings: row.settings, secret, disabled }]
    })
    if (fresh.length > 0) {
      await insertApiKeys(trx, fresh)
      await insertImported(
        trx,
        this.#seals,
        fresh.map(({ secret }) => secret),
      )
      const { policy } = await readInstallation(trx)
      const tenants = new Set(fresh.map(({ tenantId }) => tenantId))
      for (const tenantId of [...tenants].toSorted()) await refuseTooManyKeys(trx, tenantId, policy)
    }
    for (const { id, tenantId, settings, secret, disabled } of fresh) {
      const { clientId, scheme } = secret
      if (disabled) await setDisabled(trx, id, true)
      const lookup = scheme === LOOKUP_SCHEME && { secretEndsAt: secret.endsAt }
      const imported = { secretId: secret.id, clientId, scheme, ...lookup, ...(disabled && { disabled }) }
      const changes = fieldChanges(undefined, { ...settings, ...imported })
      record(
        { action: 'key.import', targetKind: 'key', targetId: id, tenantId, changes },
        { kind: 'key', id },
      )
    }
    return withIds.map(({ row, id }) => report(row, id))
  }
}

const report = (row: PlannedRow, keyId: string | null): ImportedRow => {
  const { clientId } = row.client
  if (row.faults.length > 0) return { clientId, result: 'refused', faults: row.faults }
  return { clientId, result: row.existing ? 'exists' : 'created', keyId }
}

/** The key of each client, and its faults. */
async function plan(db: Handle, seals: RowSeals, clients: readonly ClientToImport[]): Promise<PlannedRow[]> {
  const tenants = await findTenants(db, [...new Set(clients.map(({ tenantId }) => tenantId))])
  const stored = await findImported(
    db,
    seals,
    clients.map(({ clientId }) => clientId),
  )
  const models = await registeredModels(db)
  const { policy } = await readInstallation(db)
  const now = await databaseNow(db)
  const room = new Map<string, number>()
  for (const id of tenants.keys()) room.set(id, await roomForKeys(db, id, policy))
  const hashes = clients.map(({ scheme, hash }) => parseHash(scheme, hash))
  const lookups = await findLookups(
    db,
    hashes.flatMap(hash => ('hash' in hash && hash.scheme === LOOKUP_SCHEME ? hash.hash : [])),
  )
  const seen = new Set<string>()
  const seenHashes = new Set<string>()
  return clients.map((client, index) => {
    const { clientId, tenantId, settings: given } = client
    const faults: Fault[] = []
    if (seen.has(clientId))
      faults.push({ pointer: '/client_id', message: 'is a duplicate of an earlier client in the list' })
    seen.add(clientId)
    const hash = hashes[index] ?? parseHash(client.scheme, client.hash)
    if ('fault' in hash) faults.push({ pointer: '/hash', message: hash.fault })
    else if (hash.scheme === LOOKUP_SCHEME) {
      const message = lookupFault(hash.hash, clientId, lookups, seenHashes)
      if (message !== undefined) faults.push({ pointer: '/hash', message })
    }
    const isLookup = client.scheme === LOOKUP_SCHEME
    faults.push(...secretEndFaults(isLookup, client.endsAt, now))
    const tenant = tenants.get(tenantId)
    const longest = longestLifetime(policy, tenant ?? null)
    const settings = patchedSettings(defaultKeySettings(latestEnd(longest, now)), {
      name: clientId,
      ...given,
    })
    if (!tenant) faults.push({ pointer: '/tenant', message: 'is not a tenant' })
    else {
      const limits = { tenant, policy, now, models: tenant.models ?? models }
      const { scopes, contact } = settings
      faults.push(...keyFaults(settings, { ...given, scopes, contact }, limits))
    }
    const existing = stored.get(clientId)
    if (existing?.fault)
      faults.push({
        pointer: '/client_id',
        message: `is that of a stored row without a valid seal, of ${existing.keyId}`,
      })
    else if (existing && !isSame(existing, client, hash))
      faults.push({
        pointer: '/client_id',
        message: `was imported before with other values, as ${existing.keyId}`,
      })
    const left = room.get(tenantId)
    if (!existing && left !== undefined) {
      if (left <= 0)
        faults.push({
          pointer: '/tenant',
          message: `has no room for this client: the policy allows ${policy.maxLiveKeysPerTenant} live keys (max_live_keys_per_tenant)`,
        })
      room.set(tenantId, left - 1)
    }
    const secretEndsAt = isLookup ? (client.endsAt ?? latestLookupEnd(now)) : null
    return { client, settings, hash: 'fault' in hash ? undefined : hash, secretEndsAt, existing, faults }
  })
}

/** A secret that is found by its hash alone is the secret of one client, also after it was revoked. */
function lookupFault(
  hash: string,
  clientId: string,
  stored: Awaited<ReturnType<typeof findLookups>>,
  seen: Set<string>,
): string | undefined {
  const other = stored.get(hash)
  if (other && other.clientId !== clientId)
    return `was imported before, as ${other.keyId}: each secret with lookup belongs to one client`
  if (seen.has(hash)) return 'is a duplicate of an earlier client in the list'
  seen.add(hash)
  return undefined
}

const isSame = (stored: StoredImport, { tenantId }: ClientToImport, hash: ImportedHash | { fault: string }) =>
  'hash' in hash && stored.tenantId === tenantId && stored.scheme === hash.scheme && stored.hash === hash.hash
