import type { Actor } from '../audit/audit-event.ts'
import { mutate } from '../audit/audit-log.ts'
import type { Database } from '../database/database.ts'
import { Conflict, NotFound } from '../errors.ts'
import { closeRestores, settleTombstone } from '../tombstones/restore-repository.ts'
import type { Tombstone } from '../tombstones/tombstone.ts'
import type { AdministrationParts } from './administration.ts'
import type { SigningParts } from './signing.ts'

type Operations = Pick<
  AdministrationParts,
  'keys' | 'tenants' | 'adminTokenRevocations' | 'keyCredentials' | 'identityProviders' | 'usageReporters'
> &
  Pick<SigningParts, 'signingKeys'>

/** The reason of revocations that are repeated. */
const REASON = 'ended before the database was restored'

/** What `apply` does with a tombstone, for a plan. */
export const OPERATIONS: Record<Tombstone['kind'], string> = {
  key_revoked: 'revoke the API key',
  key_disabled: 'disable the API key',
  secret_ended: 'revoke the secret',
  tenant_suspended: 'suspend the tenant',
  tenant_deleted: 'delete the tenant and its API keys',
  signing_key_revoked: 'revoke the signing key',
  admin_token_revoked: 'revoke the admin token',
  credential_deleted: 'delete the credential',
  provider_deleted: 'delete the identity provider',
  usage_reporter_deleted: 'delete the usage reporter',
  usage_reporter_secret_ended: 'revoke the secret of the usage reporter, which must be rotated',
}

/**
 * Makes a restored database agree with the tombstones again, by the operations of the admin API, each with its audit rows.
 * Can be interrupted and repeated.
 */
export class Reconciliation {
  readonly #database: Database
  readonly #operations: Operations

  constructor(options: { database: Database; operations: Operations }) {
    this.#database = options.database
    this.#operations = options.operations
  }

  /** Ends the object again. What the database does not have, or has ended meanwhile, needs nothing. */
  async apply(actor: Actor, tombstone: Tombstone): Promise<void> {
    try {
      await this.#end(actor, tombstone)
    } catch (error) {
      const isDone = error instanceof NotFound || (error instanceof Conflict && error.code === 'key_revoked')
      if (!isDone) throw error
    }
  }

  /** The object stays as the database has it. */
  async waive(actor: Actor, tombstones: readonly Tombstone[], reason: string): Promise<void> {
    await mutate(this.#database, actor, async ({ trx, record }) => {
      for (const tombstone of tombstones) {
        if (!(await settleTombstone(trx, tombstone, 'waived', reason))) continue
        const { kind, id, at } = tombstone
        const changes = {
          tombstone: { to: kind },
          ended_at: { to: new Date(at).toISOString() },
          reason: { to: reason },
        }
        record(
          { action: 'restore.waive', targetKind: 'tombstone', targetId: id, changes },
          { kind: 'restore', id },
        )
      }
    })
  }

  /** Notes these as applied, and closes the restores of which nothing is pending. Returns how many were closed. */
  async finish(actor: Actor, applied: readonly Tombstone[]): Promise<number> {
    for (const part of chunks(applied))
      await this.#database.write(async trx => {
        for (const tombstone of part) await settleTombstone(trx, tombstone, 'applied', null)
      })
    return mutate(this.#database, actor, async ({ trx, record }) => {
      const closed = await closeRestores(trx, actor.id)
      for (const id of closed) {
        const changes = { applied: { to: applied.length } }
        record(
          { action: 'restore.reconcile', targetKind: 'restore', targetId: id, changes },
          { kind: 'restore', id },
        )
      }
      return closed.length
    })
  }

  async #end(actor: Actor, { kind, id, owner }: Tombstone): Promise<unknown> {
    const {
      keys,
      tenants,
      adminTokenRevocations,
      signingKeys,
      keyCredentials,
      identityProviders,
      usageReporters,
    } = this.#operations
    switch (kind) {
      case 'key_revoked':
        return keys.revoke(actor, id, REASON)
      case 'key_disabled':
        return keys.disable(actor, id)
      case 'secret_ended':
        return keys.revokeSecret(actor, owner ?? '', id)
      case 'tenant_suspended':
        return tenants.suspend(actor, id)
      case 'tenant_deleted':
        return tenants.delete(actor, id, { cascade: true })
      case 'signing_key_revoked':
        return signingKeys.revoke(actor, id, REASON)
      case 'admin_token_revoked':
        return adminTokenRevocations.revoke(actor, id, { reason: REASON, cascade: false })
      case 'credential_deleted':
        return keyCredentials.delete(actor, owner ?? '', id)
      case 'provider_deleted':
        return identityProviders.delete(actor, id)
      case 'usage_reporter_deleted':
        return usageReporters.delete(actor, id)
      case 'usage_reporter_secret_ended':
        return usageReporters.endSecret(actor, owner ?? '', id)
      default:
        return kind satisfies never
    }
  }
}

/** Bounds the time of one transaction. */
const MOST_AT_ONCE = 200

function* chunks<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += MOST_AT_ONCE) yield items.slice(from, from + MOST_AT_ONCE)
}
