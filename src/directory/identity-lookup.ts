import type { Database } from '../database/database.ts'
import { Busy } from '../errors.ts'
import type { RowSeals } from '../installation/row-seals.ts'
import type { SecretSnapshot } from './directory.ts'
import { readUpdate } from './directory-repository.ts'
import { readIdentities } from './identity-repository.ts'
import { snapshotOf } from './known-key.ts'

const MOST_LOOKUPS = 500

/** Reads a credential from Postgres at an exchange, where the copy is staler than its tenant allows. */
export class IdentityLookup {
  readonly #database: Database
  readonly #seals: RowSeals
  readonly #tokenTtlSeconds: number
  #running = 0

  constructor(options: { database: Database; seals: RowSeals; tokenTtlSeconds: number }) {
    this.#database = options.database
    this.#seals = options.seals
    this.#tokenTtlSeconds = options.tokenTtlSeconds
  }

  /**
   * Undefined: the credential is gone.
   * @throws {Unavailable} when the database does not answer, or too many lookups wait.
   */
  async find(credential: {
    id: string
    keyId: string
    tenantId: string
  }): Promise<SecretSnapshot | undefined> {
    if (this.#running >= MOST_LOOKUPS) throw new Busy('Too many lookups of credentials are waiting. Retry.')
    this.#running++
    try {
      return await this.#read(credential)
    } finally {
      this.#running--
    }
  }

  async #read({ id, keyId, tenantId }: { id: string; keyId: string; tenantId: string }) {
    const { read, update } = await this.#database.readSnapshot(async db => ({
      read: await readIdentities(db, this.#seals, { providerIds: [], keyIds: [keyId] }),
      update: await readUpdate(db, this.#seals, [{ kind: 'tenant', id: tenantId }], this.#tokenTtlSeconds),
    }))
    const [known] = read.keys
    const [tenant] = update.tenants
    if (!known?.credentials.some(each => each.id === id) || !tenant) return undefined
    const secret = { id, digest: '', endsAt: null }
    const snapshot = snapshotOf({ key: known.key, secret, tenant, catalogue: update.catalogue })
    return { ...snapshot, keyRevoked: known.revoked }
  }
}
