import {
  CLAIM_HEADERS,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  type OpenRoutes,
  REQUIRED_SCOPE,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
  UNVERIFIED_BODY_BYTES,
} from '../../../src/gateway/headers.ts'
import { FETCHED_FIELDS, STEERING_FIELDS, UUID_FIELDS } from '../../../src/gateway/refused-fields.ts'
import { KEY_HEADER_SPELLINGS, REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { LONGEST_TOKEN_BYTES } from '../../../src/tokens/claims.ts'
import { WITHOUT_FORMS } from '../envoy-parts/forms.ts'
import { limitFilters, usageFilter } from '../envoy-parts/limits.ts'
import { refusalLog } from '../envoy-parts/refusal-log.ts'
import { overGrpc, usageLog } from '../envoy-parts/usage-report.ts'
import { AUDIENCE, CHECK_SECONDS, ISSUER, ORIGINS, STREAM_WINDOW_BYTES } from '../example.ts'
import { CREDENTIAL_MESSAGES, modelNotFound } from '../messages.ts'
import { render } from '../template.ts'

const paths = (routes: readonly { path: string }[]) => routes.map(({ path }) => path).join(', ')

/** The list of models, and below it each by its name. */
const listPaths = (routes: readonly { path: string }[]) =>
  routes.map(({ path }) => `${path}, ${path}/*`).join(', ')

/**
 * For an Istio ingress gateway: three files for tokens, one for connections to the engine, two that replace them for a
 * static policy, five more for API keys, one for limits, one for reports of usage, and two that keep the JWKS inline and the list of
 * revoked tokens. `named`: what the static policy names.
 */
export function istioFiles(routes: OpenRoutes, named: readonly NamedModel[] = NAMED): Record<string, string> {
  return {
    ...tokenFiles(routes),
    ...engineFile,
    ...staticFiles(routes, named),
    ...apiKeyFiles(routes),
    ...limitFiles,
    ...usageFiles,
    ...syncFiles,
  }
}

const tokenFiles = ({ MODEL_ROUTES, LIST_ROUTES }: OpenRoutes): Record<string, string> => ({
  'deploy/istio/request-authentication.yaml': requestAuthentication('istio/remove-token.yaml'),
  'deploy/istio/authorization-policy.yaml': render('istio/authorization-policy.yaml.template', {
    ISSUER,
    REQUIRED_SCOPE,
    listPaths: listPaths(LIST_ROUTES),
    modelPaths: paths(MODEL_ROUTES),
  }),
  'deploy/istio/envoy-filter.yaml': render('istio/envoy-filter.yaml.template', {
    LIST_ROUTES,
    LONGEST_BODY_BYTES,
    modelNotFound,
    ...WITHOUT_FORMS,
    ...refusalLog('http', 'istio'),
    aboutLimit: 'What is held of a body before its token is verified.',
    listenerBytes: UNVERIFIED_BODY_BYTES,
    MODEL_HEADER,
    MODEL_ROUTES,
    REQUIRED_SCOPE,
    FETCHED_FIELDS,
    STEERING_FIELDS,
    UUID_FIELDS,
    ORIGINS,
    secondHeaders: REMOVED_HEADERS.join('", "'),
    STRIPPED_NAMES,
    STRIPPED_PREFIXES,
    STREAM_WINDOW_BYTES,
  }),
})

const engineFile: Record<string, string> = {
  'deploy/istio/destination-rule.yaml': render('istio/destination-rule.yaml.template', {}),
}

const requestAuthentication = (forward: string) =>
  render('istio/request-authentication.yaml.template', {
    ISSUER,
    AUDIENCE,
    CLAIM_HEADERS,
    forward: render(forward, {}),
  })

/** A name in a static policy, with the claim that must contain it. */
export interface NamedModel {
  claim: string
  name: string
}

const NAMED: readonly NamedModel[] = [
  { claim: 'models', name: 'llama-3-8b' },
  { claim: 'models', name: 'mistralai/Mistral-7B' },
  { claim: 'models', name: '/models/Llama-3.1' },
  { claim: 'adapters', name: 'acme-sql' },
  { claim: 'adapters', name: 'acme-chat' },
  { claim: 'adapters', name: 'globex-sql' },
]

const staticFiles = (
  { MODEL_ROUTES, LIST_ROUTES }: OpenRoutes,
  names: readonly NamedModel[],
): Record<string, string> => ({
  'deploy/istio/static/authorization-policy.yaml': render('istio/static/authorization-policy.yaml.template', {
    ISSUER,
    REQUIRED_SCOPE,
    listPaths: listPaths(LIST_ROUTES),
    rules: names.map(named =>
      render('istio/static/rule.yaml.template', {
        ISSUER,
        MODEL_HEADER,
        REQUIRED_SCOPE,
        modelPaths: paths(MODEL_ROUTES),
        ...named,
      }),
    ),
  }),
  'deploy/istio/static/envoy-filter.yaml': render('istio/static/envoy-filter.yaml.template', {
    aboutLimit:
      "Maximum size of a body, which is buffered to read its model; a longer one is 413. (Envoy's default is 1 MiB.)",
    LIST_ROUTES,
    LONGEST_BODY_BYTES,
    modelNotFound,
    ...WITHOUT_FORMS,
    ...refusalLog('http', 'istio'),
    listenerBytes: LONGEST_BODY_BYTES,
    MODEL_HEADER,
    MODEL_ROUTES,
    REQUIRED_SCOPE,
    FETCHED_FIELDS,
    STEERING_FIELDS,
    UUID_FIELDS,
    ORIGINS,
    secondHeaders: REMOVED_HEADERS.join('", "'),
    STRIPPED_NAMES,
    STRIPPED_PREFIXES,
    STREAM_WINDOW_BYTES,
  }),
})

const apiKeyFiles = ({ LIST_ROUTES }: OpenRoutes): Record<string, string> => ({
  'deploy/istio/api-keys/istiod-values.yaml': render('istio/api-keys/istiod-values.yaml.template', {
    CHECK_SECONDS,
    keyHeaders: REMOVED_HEADERS.join(', '),
  }),
  'deploy/istio/api-keys/authorization-policy.yaml': render(
    'istio/api-keys/authorization-policy.yaml.template',
    { REMOVED_HEADERS },
  ),
  'deploy/istio/api-keys/request-authentication.yaml': requestAuthentication(
    'istio/api-keys/forward-token.yaml',
  ),
  'deploy/istio/api-keys/virtual-service.yaml': render('istio/api-keys/virtual-service.yaml.template', {
    LIST_ROUTES,
    keyHeaders: KEY_HEADER_SPELLINGS.join(', '),
  }),
  'deploy/istio/api-keys/envoy-filter.yaml': render('istio/api-keys/envoy-filter.yaml.template', {
    LONGEST_BODY_BYTES,
    LONGEST_TOKEN_BYTES,
    REQUIRED_SCOPE,
    ...CREDENTIAL_MESSAGES,
  }),
})

const limitFiles: Record<string, string> = {
  'deploy/istio/limits/envoy-filter.yaml': render('istio/limits/envoy-filter.yaml.template', {
    filters: limitFilters('outbound|8081||ratelimit.mintmark.svc.cluster.local').map(filter =>
      render('istio/limits/before-router.yaml.template', { filter }),
    ),
  }),
}

const usageFiles: Record<string, string> = {
  'deploy/istio/usage/envoy-filter.yaml': render('istio/usage/envoy-filter.yaml.template', {
    filter: usageFilter(true),
    usageLog: usageLog(overGrpc('outbound|8087||mintmark.mintmark.svc.cluster.local')),
  }),
}

/** As `mintmark sync` has them without options. */
const syncFiles: Record<string, string> = {
  'deploy/istio/sync/sync.yaml': render('istio/sync/sync.yaml.template', {
    ISSUER,
    intervalSeconds: 60,
    port: 8085,
  }),
  'deploy/istio/sync/revocations.yaml': render('istio/sync/revocations.yaml.template', {}),
}
