import { AdminAuth } from '../admin/admin-auth.ts'
import { Cursors } from '../admin/cursor.ts'
import { PLACE_BYTES } from '../admin/usage/usage-query.ts'
import { WriteLimit } from '../admin/write-limit.ts'
import type { AdminToken } from '../admin-tokens/admin-token.ts'
import { countAdminTokens } from '../admin-tokens/admin-token-repository.ts'
import { AdminTokenRevocations } from '../admin-tokens/admin-token-revocations.ts'
import { AdminTokens } from '../admin-tokens/admin-tokens.ts'
import { AccessReview } from '../api-keys/access-review.ts'
import { countKeys } from '../api-keys/api-key-repository.ts'
import { ApiKeys } from '../api-keys/api-keys.ts'
import { ExpiringKeys } from '../api-keys/expiring-keys.ts'
import { ImportedClients } from '../api-keys/imported/imported-clients.ts'
import type { KeyDigests } from '../api-keys/key-digest.ts'
import { KeyRevocations } from '../api-keys/key-revocations.ts'
import { SecretConfirmations } from '../api-keys/secret-confirmations.ts'
import { CheckpointSigner } from '../audit/audit-checkpoint.ts'
import { AuditTrail } from '../audit/audit-trail.ts'
import { AuditedRefusals } from '../audit/audited-refusals.ts'
import type { Config } from '../config/config.ts'
import { IdempotencyKeys } from '../idempotency/idempotency-keys.ts'
import { FetchTokens } from '../identity-providers/fetching/fetch-tokens.ts'
import { IdentityProviders } from '../identity-providers/identity-providers.ts'
import { KeyCredentials } from '../identity-providers/key-credentials.ts'
import type { CurrentPolicy } from '../installation/current-policy.ts'
import { firstOf } from '../installation/installation-secrets.ts'
import type { FindOnOtherPeppers } from '../installation/secret-use.ts'
import { SetObjects } from '../sets/set-objects.ts'
import { FailureLimit } from '../system/failure-limit.ts'
import { Models } from '../tenants/models.ts'
import { type CountDependents, Tenants } from '../tenants/tenants.ts'
import { Tiers } from '../tenants/tiers.ts'
import type { DenyList } from '../token-revocations/deny-list.ts'
import { TokenRevocations } from '../token-revocations/token-revocations.ts'
import { UsageCorrections } from '../usage/usage-corrections.ts'
import { UsageReporters } from '../usage/usage-reporters.ts'
import { UsageReports } from '../usage/usage-reports.ts'
import { findOnOtherPeppers } from './pepper-use.ts'
import type { Storage, System } from './storage.ts'
import type { TrustParts } from './trust.ts'

/** The operations of the admin API, its authorization, and the audit trail. */
export interface AdministrationParts {
  tiers: Tiers
  models: Models
  tenants: Tenants
  keys: ApiKeys
  accessReview: AccessReview
  keyRevocations: KeyRevocations
  confirmations: SecretConfirmations
  expiring: ExpiringKeys
  findOnOtherPeppers: FindOnOtherPeppers
  importedClients: ImportedClients
  identityProviders: IdentityProviders
  keyCredentials: KeyCredentials
  adminTokens: AdminTokens
  adminTokenRevocations: AdminTokenRevocations
  tokenRevocations: TokenRevocations
  auth: AdminAuth
  sets: SetObjects
  cursors: Cursors
  trail: AuditTrail
  refusals: AuditedRefusals
  idempotency: IdempotencyKeys
  writeLimit: WriteLimit
  usageReporters: UsageReporters
  usage: { reports: UsageReports; corrections: UsageCorrections; cursors: Cursors; now: () => number }
}

export function buildAdministration(
  config: Config,
  { clock, random, logger }: System,
  { database, time }: Storage,
  digests: KeyDigests,
  {
    policy,
    trust: { seals, tombstones },
    denyList,
  }: { policy: CurrentPolicy; trust: TrustParts; denyList: DenyList },
): AdministrationParts {
  const isEnded = ({ id, tenantId }: AdminToken) =>
    tombstones.has('admin_token_revoked', id) ||
    (tenantId !== null && tombstones.has('tenant_deleted', tenantId))
  const adminTokens = new AdminTokens({ database, digests, random, logger, isEnded })
  const failures = new FailureLimit({ perMinute: config.adminFailuresPerMinute })
  const signer = new CheckpointSigner(firstOf(config.encryptionKeys))
  return {
    tiers: new Tiers({ database }),
    models: new Models({ database }),
    tenants: new Tenants({ database, defaultAudience: config.audience, countDependents }),
    keys: new ApiKeys({ database, digests, seals, random, tokenTtlSeconds: config.tokenTtlSeconds }),
    accessReview: new AccessReview({ database }),
    keyRevocations: new KeyRevocations({ database, seals }),
    confirmations: new SecretConfirmations({ database, seals, clock }),
    expiring: new ExpiringKeys({ database }),
    findOnOtherPeppers,
    importedClients: new ImportedClients({ database, random, seals }),
    identityProviders: new IdentityProviders({
      database,
      random,
      seals,
      tokens: new FetchTokens({ keys: config.encryptionKeys, random }),
    }),
    keyCredentials: new KeyCredentials({ database, random, seals }),
    adminTokens,
    adminTokenRevocations: new AdminTokenRevocations({ database, seals }),
    tokenRevocations: new TokenRevocations({ database, denyList }),
    auth: new AdminAuth({ rootTokens: config.rootTokens, tokens: adminTokens, failures }),
    sets: new SetObjects({ database }),
    cursors: new Cursors({ encryptionKeys: config.encryptionKeys, random }),
    trail: new AuditTrail({ database, signer, logger }),
    refusals: new AuditedRefusals({ database }),
    idempotency: new IdempotencyKeys({ database }),
    writeLimit: new WriteLimit({ policy }),
    usageReporters: new UsageReporters({ database, digests, random }),
    usage: {
      reports: new UsageReports({ database }),
      corrections: new UsageCorrections({ database, policy }),
      cursors: new Cursors({ encryptionKeys: config.encryptionKeys, random, placeBytes: PLACE_BYTES }),
      now: () => time.now(),
    },
  }
}

const countDependents: CountDependents = async (db, tenantId) => ({
  ...(await countKeys(db, tenantId)),
  adminTokens: await countAdminTokens(db, tenantId),
})
