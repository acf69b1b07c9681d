import { sql } from 'kysely'
import type { Database, Handle } from '../database/database.ts'
import { peppersLacking } from '../database/installation.ts'
import { Unavailable } from '../errors.ts'
import type { NamedKey } from '../system/secret.ts'
import { grantedNames } from '../tenants/grant-repository.ts'
import type { Catalogue, KeyRights, TenantRights } from '../tenants/rights.ts'
import type { KeyDigest } from './key-digest.ts'

/** All that an exchange needs to know of a presented secret. Instants are epoch milliseconds. */
export interface SecretSnapshot {
  secretId: string
  secretEndsAt: number | null
  secretRevoked: boolean
  keyId: string
  keyExpiresAt: number | null
  keyDisabled: boolean
  keyRevoked: boolean
  keyRights: KeyRights
  tenantId: string
  tenantSuspended: boolean
  tenantRights: TenantRights
  catalogue: Catalogue
}

/** Finds what is known of a secret by its digest under any of our peppers. */
export interface Directory {
  /** @throws {Unavailable} when it cannot be told whether the secret is known. */
  find(digests: readonly KeyDigest[]): Promise<SecretSnapshot | undefined>
}

/** A directory that asks Postgres each time: one query for a known secret, two for an unknown one. */
export class DatabaseDirectory implements Directory {
  readonly #database: Database
  readonly #peppers: readonly NamedKey[]
  readonly #tokenTtlSeconds: number

  constructor(options: { database: Database; peppers: readonly NamedKey[]; tokenTtlSeconds: number }) {
    this.#database = options.database
    this.#peppers = options.peppers
    this.#tokenTtlSeconds = options.tokenTtlSeconds
  }

  find(digests: readonly KeyDigest[]): Promise<SecretSnapshot | undefined> {
    return this.#database.read(async db => {
      const row = await selectSecret(db, digests)
      if (row) return toSnapshot(row, this.#tokenTtlSeconds)
      // A key made under a pepper that only other replicas hold is not unknown: we are the ones that lack something.
      const lacking = await peppersLacking(db, this.#peppers)
      if (lacking.length === 0) return undefined
      throw new Unavailable('This replica cannot check API keys. Try again.', {
        cause: new Error(`MINTMARK_PEPPERS lacks ${lacking.join(', ')}, which the installation record names`),
      })
    })
  }
}

const keyId = sql.ref('api_keys.id')
const tenantId = sql.ref('tenants.id')

function selectSecret(db: Handle, digests: readonly KeyDigest[]) {
  return db
    .selectFrom('api_key_secrets')
    .innerJoin('api_keys', 'api_keys.id', 'api_key_secrets.key_id')
    .innerJoin('tenants', 'tenants.id', 'api_keys.tenant_id')
    .select([
      'api_key_secrets.id as secret_id',
      'api_key_secrets.ends_at',
      'api_key_secrets.revoked_at as secret_revoked_at',
    ])
    .select(['api_keys.id as key_id', 'api_keys.expires_at', 'api_keys.disabled_at', 'api_keys.revoked_at'])
    .select([
      'api_keys.tier as key_tier',
      'api_keys.scopes as key_scopes',
      'api_keys.audiences as key_audiences',
    ])
    .select([
      'api_keys.models_limited as key_models_limited',
      'api_keys.adapters_limited as key_adapters_limited',
    ])
    .select(['api_keys.token_ttl_seconds as key_ttl', 'tenants.id as tenant_id', 'tenants.suspended_at'])
    .select([
      'tenants.tier',
      'tenants.scopes',
      'tenants.audiences',
      'tenants.models_limited',
      'tenants.token_ttl_seconds',
    ])
    .select([
      grantedNames('key', keyId, 'model').as('key_models'),
      grantedNames('key', keyId, 'adapter').as('key_adapters'),
      grantedNames('tenant', tenantId, 'model').as('models'),
      grantedNames('tenant', tenantId, 'adapter').as('adapters'),
      sql<
        string[]
      >`(SELECT array_agg(tier ORDER BY position) FROM tenant_tiers WHERE tenant_id = ${tenantId})`.as(
        'allowed_tiers',
      ),
      sql<string[] | null>`(SELECT array_agg(name ORDER BY seq) FROM models WHERE kind = 'model')`.as(
        'registered',
      ),
      sql<Record<string, number>>`(SELECT jsonb_object_agg(name, priority) FROM tiers)`.as('priorities'),
    ])
    .where(
      'digest',
      'in',
      digests.map(entry => entry.digest),
    )
    .executeTakeFirst()
}

function toSnapshot(
  row: NonNullable<Awaited<ReturnType<typeof selectSecret>>>,
  tokenTtlSeconds: number,
): SecretSnapshot {
  return {
    secretId: row.secret_id,
    secretEndsAt: row.ends_at?.getTime() ?? null,
    secretRevoked: row.secret_revoked_at !== null,
    keyId: row.key_id,
    keyExpiresAt: row.expires_at?.getTime() ?? null,
    keyDisabled: row.disabled_at !== null,
    keyRevoked: row.revoked_at !== null,
    keyRights: {
      tier: row.key_tier,
      scopes: row.key_scopes,
      models: row.key_models_limited ? row.key_models : null,
      adapters: row.key_adapters_limited ? row.key_adapters : null,
      audiences: row.key_audiences,
      tokenTtlSeconds: row.key_ttl,
    },
    tenantId: row.tenant_id,
    tenantSuspended: row.suspended_at !== null,
    tenantRights: {
      tier: row.tier,
      allowedTiers: row.allowed_tiers,
      scopes: row.scopes,
      models: row.models_limited ? row.models : null,
      adapters: row.adapters,
      audiences: row.audiences,
      tokenTtlSeconds: row.token_ttl_seconds,
    },
    catalogue: {
      priorities: new Map(Object.entries(row.priorities)),
      models: row.registered ?? [],
      tokenTtlSeconds,
    },
  }
}
