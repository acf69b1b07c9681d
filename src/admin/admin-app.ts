import { type RequestHandler, Router } from 'express'
import type { AdminTokenRevocations } from '../admin-tokens/admin-token-revocations.ts'
import type { AdminTokens } from '../admin-tokens/admin-tokens.ts'
import type { AccessReview } from '../api-keys/access-review.ts'
import type { ApiKeys } from '../api-keys/api-keys.ts'
import type { ImportedClients } from '../api-keys/imported/imported-clients.ts'
import type { KeyRevocations } from '../api-keys/key-revocations.ts'
import type { SecretConfirmations } from '../api-keys/secret-confirmations.ts'
import { SYSTEM } from '../audit/audit-event.ts'
import type { AuditTrail } from '../audit/audit-trail.ts'
import type { AuditedRefusals } from '../audit/audited-refusals.ts'
import type { Database } from '../database/database.ts'
import {
  createExpress,
  expressApplication,
  keepMountPath,
  onlyMethods,
  rawBody,
  whenReady,
} from '../http/express-app.ts'
import type { Readiness } from '../http/health.ts'
import type { Application } from '../http/listener.ts'
import { eventOf } from '../http/request-event.ts'
import type { IdempotencyKeys } from '../idempotency/idempotency-keys.ts'
import type { IdentityProviders } from '../identity-providers/identity-providers.ts'
import type { KeyCredentials } from '../identity-providers/key-credentials.ts'
import type { Replicas } from '../installation/replicas.ts'
import type { FindOnOtherPeppers } from '../installation/secret-use.ts'
import type { SetObjects } from '../sets/set-objects.ts'
import type { SigningKeys } from '../signing-keys/signing-keys.ts'
import type { Models } from '../tenants/models.ts'
import type { Tenants } from '../tenants/tenants.ts'
import type { Tiers } from '../tenants/tiers.ts'
import type { Gateways } from '../token-revocations/gateways.ts'
import type { TokenRevocations } from '../token-revocations/token-revocations.ts'
import type { UsageCorrections } from '../usage/usage-corrections.ts'
import type { UsageReporters } from '../usage/usage-reporters.ts'
import type { UsageReports } from '../usage/usage-reports.ts'
import { accessReviewRoutes } from './access-review/access-review-routes.ts'
import { type AdminAuth, ROOT } from './admin-auth.ts'
import { adminTokenRoutes } from './admin-token-routes.ts'
import { auditRefusals } from './audit-refusals.ts'
import { auditRoutes } from './audit-routes.ts'
import { replayBodyOf } from './bodies/replay-body.ts'
import { adapterRoutes, modelRoutes, tierRoutes } from './catalogue-routes.ts'
import type { Cursors } from './cursor.ts'
import { explainRoutes } from './explain/explain-routes.ts'
import type { Explaining } from './explain/explanation-wire.ts'
import { gatewayRoutes } from './gateways/gateway-routes.ts'
import { ShownRevocations } from './gateways/shown-revocations.ts'
import { type ExplainAssertion, explainAssertionRoutes } from './identity/explain-routes.ts'
import { type FetchHealths, identityProviderRoutes } from './identity/identity-provider-routes.ts'
import { keyCredentialRoutes } from './identity/key-credential-routes.ts'
import { IMPORT_PATH, importRoutes, LONGEST_IMPORT_BYTES } from './import-routes.ts'
import { installationRoutes } from './installation-routes.ts'
import { keyRevocationRoutes } from './key-revocation-routes.ts'
import { keyRoutes } from './key-routes.ts'
import { mountReference } from './openapi/mount-reference.ts'
import { problemHandler } from './problem.ts'
import { type AdminRoute, type Mounting, mountRoute } from './route.ts'
import { type ReadObject, setRoutes } from './sets/set-routes.ts'
import { signingKeyRoutes } from './signing-key-routes.ts'
import { tenantRoutes } from './tenant-routes.ts'
import { tokenRevocationRoutes } from './token-revocation-routes.ts'
import { OPENAI_USAGE_PATH, openAiUsage } from './usage/openai-usage.ts'
import { usageReporterRoutes } from './usage/usage-reporter-routes.ts'
import { usageRoutes } from './usage/usage-routes.ts'
import { whoamiRoutes } from './whoami/whoami-routes.ts'
import type { WriteLimit } from './write-limit.ts'

interface Services {
  database: Database
  tenants: Tenants
  tiers: Tiers
  models: Models
  keys: ApiKeys
  accessReview: AccessReview
  keyRevocations: KeyRevocations
  confirmations: SecretConfirmations
  adminTokens: AdminTokens
  adminTokenRevocations: AdminTokenRevocations
  tokenRevocations: TokenRevocations
  signingKeys: SigningKeys
  gateways: Gateways
  replicas: Replicas
  trail: AuditTrail
  importedClients: ImportedClients
  identityProviders: IdentityProviders
  keyCredentials: KeyCredentials
  fetched: FetchHealths
  explainAssertion: ExplainAssertion
  explaining: Explaining
  findOnOtherPeppers: FindOnOtherPeppers
  sets: SetObjects
  cursors: Cursors
  usageReporters: UsageReporters
  usage: { reports: UsageReports; corrections: UsageCorrections; cursors: Cursors; now: () => number }
}

/** Every operation of the admin API. */
export function adminRoutes(services: Services): AdminRoute[] {
  const { adminTokens, keys, keyRevocations, models, tenants, tiers, trail, importedClients, cursors } =
    services
  const revocations = services.tokenRevocations
  const shownRevocations = new ShownRevocations({ revocations, gateways: services.gateways })
  return [
    ...whoamiRoutes(services),
    ...tenantRoutes(tenants, shownRevocations, cursors),
    ...keyRoutes(keys, services.confirmations, tenants, shownRevocations, cursors),
    ...accessReviewRoutes(services),
    ...keyRevocationRoutes(keyRevocations),
    ...tierRoutes(tiers, cursors),
    ...modelRoutes(models, cursors),
    ...adapterRoutes(models, cursors),
    ...signingKeyRoutes(services),
    ...installationRoutes(services),
    ...adminTokenRoutes(adminTokens, services.adminTokenRevocations, cursors),
    ...tokenRevocationRoutes(revocations, shownRevocations, cursors),
    ...gatewayRoutes(services.gateways),
    ...auditRoutes(trail, cursors),
    ...importRoutes(importedClients),
    ...identityProviderRoutes(services.identityProviders, services.fetched, cursors),
    ...keyCredentialRoutes(services.keyCredentials, keys, tenants),
    ...usageReporterRoutes(services.usageReporters, cursors),
    ...usageRoutes(services),
    ...explainAssertionRoutes(services.explainAssertion),
    ...explainRoutes(services.explaining),
    ...setRoutes(services.sets, readObject(services), cursors),
  ]
}

/**
 * admin/ is the REST API for operators, on its own listener. Each file of routes is a list of values; this one combines
 * them. Errors are RFC 9457 problem details.
 */
export function adminApp(
  options: Services & {
    auth: AdminAuth
    idempotency: IdempotencyKeys
    refusals: AuditedRefusals
    readiness: Readiness
    writeLimit: WriteLimit
  },
): Application {
  const { auth, readiness } = options
  const routes = adminRoutes(options)
  const router = Router({ strict: true, caseSensitive: true })
  const authenticate: RequestHandler = async (req, res, next) => {
    res.locals.admin = await auth.authenticate(req.headers.authorization, eventOf(res).source)
    next()
  }
  router.use(whenReady(readiness), keepMountPath, authenticate)
  router.use(IMPORT_PATH, rawBody(LONGEST_IMPORT_BYTES))
  router.use(rawBody(LONGEST_BODY_BYTES))
  const mounting: Mounting = {
    idempotency: options.idempotency,
    writeLimit: options.writeLimit,
    reread: rereader(routes),
    hold: (trx, id) => options.adminTokens.hold(trx, id),
    sets: options.sets,
  }
  for (const [path, those] of byPath(routes)) {
    for (const definition of those) mountRoute(router, definition, mounting)
    router.all(path, onlyMethods(...those.map(({ method }) => method.toUpperCase())))
  }
  const app = createExpress().use('/admin/v1', router)
  app
    .route(OPENAI_USAGE_PATH)
    .all(whenReady(readiness), authenticate)
    .get(openAiUsage(options))
    .all(onlyMethods('GET'))
  mountReference(app, routes)
  return expressApplication(app, auditRefusals(options.refusals), problemHandler)
}

const LONGEST_BODY_BYTES = 32_768

const readObject = ({
  tiers,
  models,
  tenants,
  keys,
  identityProviders,
  usageReporters,
}: Services): ReadObject => ({
  tier: name => tiers.get(name),
  model: name => models.get('model', name),
  adapter: name => models.get('adapter', name),
  tenant: id => tenants.get(id),
  key: id => keys.get(id),
  'identity-provider': id => identityProviders.get(id),
  'usage-reporter': id => usageReporters.get(id),
})

/**
 * Reads the current state of the object that a request named in its path or created, through the route that reads it.
 * The caller has changed it, so may read it.
 */
function rereader(routes: readonly AdminRoute[]): Mounting['reread'] {
  const readPaths: Record<string, string> = {
    tenant: '/tenants/:id',
    key: '/keys/:id',
    'admin-token': '/admin-tokens/:id',
    'usage-reporter': '/usage-reporters/:id',
    'token-revocation': '/token-revocations/:id',
  }
  const reading = routes.filter(({ method, path }) => method === 'get' && path.includes(':'))
  return async (definition, params, target) => {
    if (!replayBodyOf(definition)) return undefined
    const named = reading.find(({ path }) => definition.path.startsWith(`${path}/`))
    const route = named ?? reading.find(({ path }) => path === readPaths[target?.kind ?? ''])
    const shown = named ? params : { id: target?.id ?? '' }
    return route?.handle({ actor: SYSTEM, admin: ROOT, params: shown, query: {}, body: undefined })
  }
}

/** Paths without parameters first: `/keys/inspect` is never the key "inspect", whatever the method. */
function byPath(routes: readonly AdminRoute[]): [path: string, routes: AdminRoute[]][] {
  const paths = [...Map.groupBy(routes, ({ path }) => path)]
  return paths.sort(([a], [b]) => Number(a.includes(':')) - Number(b.includes(':')))
}
