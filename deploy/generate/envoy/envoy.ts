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
import { NOT_FOR_ENGINE, REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { LONGEST_TOKEN_BYTES } from '../../../src/tokens/claims.ts'
import { formParts } from '../envoy-parts/forms.ts'
import { limitFilters, requestLimits, usageFilter } from '../envoy-parts/limits.ts'
import { refusalLog } from '../envoy-parts/refusal-log.ts'
import {
  overHttp,
  overGrpc as reportsOverGrpc,
  type UsageTransport,
  usageLog,
} from '../envoy-parts/usage-report.ts'
import { AUDIENCE, CHECK_SECONDS, ISSUER, ORIGINS, STREAM_WINDOW_BYTES } from '../example.ts'
import { CREDENTIAL_MESSAGES, modelNotFound } from '../messages.ts'
import { render, type Values } from '../template.ts'
import { revocationParts, type WithoutList } from './revocations.ts'

/**
 * A complete Envoy configuration in one file: for tokens only, or also for API keys, checked over HTTP or gRPC, and the last
 * two with limits as well.
 */
export function envoyFiles(
  routes: OpenRoutes,
  withoutList?: WithoutList,
  usage?: UsageTransport,
): Record<string, string> {
  const envoyYaml = (openRoutes: OpenRoutes, variant: Variant) =>
    configuration(openRoutes, variant, withoutList, usage)
  const overGrpc = (perList: readonly string[] = []): Values => ({
    ...forKeys(routes, 'envoy/ext-authz-grpc.yaml.template', perList),
    checkAddresses: [
      '#   mintmark, 8083                   its gRPC listener, which checks API keys',
      '#   mintmark, 8082                   its gateway listener, which lists the models',
    ],
  })
  return {
    'deploy/envoy/envoy.yaml': envoyYaml(routes, forTokens(routes)),
    'deploy/envoy/envoy-api-keys.yaml': envoyYaml(routes, {
      ...forKeys(routes, 'envoy/ext-authz-http.yaml.template'),
      ...refusalLog('http'),
      checkAddresses: ['#   mintmark:8082, mintmark, 8082    its gateway listener, which checks API keys'],
      clusters: [ENGINE, PUBLIC, GATEWAY].map(cluster),
    }),
    'deploy/envoy/envoy-api-keys-grpc.yaml': envoyYaml(routes, {
      ...overGrpc(),
      clusters: [ENGINE, PUBLIC, GATEWAY, GRPC].map(cluster),
    }),
    'deploy/envoy/envoy-limits.yaml': envoyYaml(routes, {
      ...overGrpc([UNCOUNTED]),
      ...withLimits(usage !== undefined),
      clusters: [ENGINE, PUBLIC, GATEWAY, GRPC, RATE_LIMITS].map(cluster),
    }),
    'deploy/envoy/envoy-request-limits.yaml': envoyYaml(routes, {
      ...overGrpc([UNCOUNTED]),
      ...withRequestLimits(usage !== undefined),
      clusters: [ENGINE, PUBLIC, GATEWAY, GRPC, RATE_LIMITS].map(cluster),
    }),
    'deploy/envoy/ratelimit/config/mintmark.yaml': render('envoy/ratelimit.yaml', {}),
    'deploy/envoy/ratelimit/ratelimit.env': render('envoy/ratelimit.env', {}),
  }
}

type Variant = Values & { clusters: readonly string[] }

function configuration(
  routes: OpenRoutes,
  variant: Variant,
  withoutList: WithoutList | undefined,
  usage: UsageTransport | undefined,
): string {
  const { MODEL_ROUTES, LIST_ROUTES } = routes
  const revocations = revocationParts(withoutList, variant.limits !== undefined)
  const reports = reportParts(usage)
  return render('envoy/envoy.yaml.template', {
    ISSUER,
    AUDIENCE,
    CLAIM_HEADERS,
    LIST_ROUTES,
    LONGEST_BODY_BYTES,
    MODEL_HEADER,
    MODEL_ROUTES,
    REQUIRED_SCOPE,
    FETCHED_FIELDS,
    STEERING_FIELDS,
    UUID_FIELDS,
    STRIPPED_NAMES,
    STRIPPED_PREFIXES,
    STREAM_WINDOW_BYTES,
    UNVERIFIED_BODY_BYTES,
    allowedOrigins: ORIGINS.map(origin => `{ exact: "${origin}" }`).join(', '),
    firstOrigin: ORIGINS[0] ?? '',
    modelNotFound,
    secondHeaders,
    ...formParts(routes),
    ...WITHOUT_LIMITS,
    ...refusalLog('grpc'),
    ...reports.values,
    ...variant,
    ...revocations.values,
    clusters: [...variant.clusters, ...revocations.clusters, ...reports.clusters],
  })
}

/** The parts of the file for reports of usage. Undefined: the file has none of it. The filter is among those of the limits, if any. */
function reportParts(transport: UsageTransport | undefined): { values: Values; clusters: string[] } {
  if (transport === undefined) return { values: { reportAddresses: [], usageLog: [] }, clusters: [] }
  const isGrpc = transport === 'grpc'
  const port = isGrpc ? 8087 : 8085
  const log = usageLog(isGrpc ? reportsOverGrpc(USAGE.name) : overHttp())
  return {
    values: {
      limits: [usageFilter(true)],
      afterLimits: [''],
      reportAddresses: [
        `#   mintmark, ${port}                   its listener for reports of usage, and the secret mmr_REPORTER`,
      ],
      usageLog: [log],
    },
    clusters: [cluster({ ...USAGE, port, ...(isGrpc ? HTTP2 : HTTP) })],
  }
}

const OLDEST = '1.36.5 or 1.37.1 (header removal by prefix; CVE-2026-26308)'

const WITHOUT_LIMITS: Values = {
  oldest: OLDEST,
  hostLimits: [],
  limitAddresses: [],
  limitReplies: [],
  aboutLimits: [],
  limits: [],
  afterLimits: [],
}

const notForEngine = NOT_FOR_ENGINE.join(', ')
const secondHeaders = REMOVED_HEADERS.join('", "')

const UNLIMITED = 4_294_967_295
// Each idle connection is closed before the other side closes it.
const HTTP = { protocol: 'http', options: '{}', idleTimeout: '4s' }
const ENGINE = { name: 'vllm', host: 'vllm', port: 8000, connections: UNLIMITED, ...HTTP }
const PUBLIC = { name: 'mintmark', host: 'mintmark', port: 8080, connections: 1_000, ...HTTP }
const GATEWAY = { ...PUBLIC, name: 'mintmark_gateway', port: 8082 }
const HTTP2 = { protocol: 'http2', options: '{}', idleTimeout: '60s' }
// Mintmark refuses more than 200 streams on a connection. Envoy begins up to a thousand on a new one before it has read that.
const GRPC = {
  ...PUBLIC,
  name: 'mintmark_grpc',
  port: 8083,
  ...HTTP2,
  options: '{ max_concurrent_streams: 100 }',
}

const USAGE = { ...PUBLIC, name: 'mintmark_usage' }
const RATE_LIMITS = { name: 'ratelimit', host: 'ratelimit', port: 8081, connections: UNLIMITED, ...HTTP2 }

const cluster = (values: typeof ENGINE) => render('envoy/cluster.yaml.template', values)

const GET = '{ name: ":method", string_match: { exact: GET } }'
const NO_KEY = REMOVED_HEADERS.map(name => `{ name: ${name}, present_match: false }`).join(', ')
const TOKEN = '{ name: authorization, string_match: { safe_regex: { regex: "(?i)bearer +eyJ.*" } } }'

/** A list of models takes nothing from a limit. */
const UNCOUNTED =
  '  mintmark.limits: { "@type": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {}, disabled: true }'

const anyLimits: Values = {
  limitAddresses: ['#   ratelimit, 8081                  the rate limit service (deploy/envoy/ratelimit/)'],
  aboutLimits: [
    '# The limits of the token (docs/guides/limits.md): 429. Requests count before their bodies are read.',
  ],
  afterLimits: [''],
  limitReplies: [render('envoy-parts/limit-replies.yaml', {})],
}

const withLimits = (reported: boolean): Values => ({
  ...anyLimits,
  oldest: '1.39, for limits of its own in a filter',
  limits: limitFilters(RATE_LIMITS.name, reported),
})

const withRequestLimits = (reported: boolean): Values => {
  const { filter, ofHost } = requestLimits(RATE_LIMITS.name)
  return {
    ...anyLimits,
    oldest: `${OLDEST}. LLM tokens have no limit here: envoy-limits.yaml has them, from 1.39 on`,
    limits: reported ? [usageFilter(true), filter] : [filter],
    hostLimits: [`# Of the filter mintmark.limits.\n${ofHost}`],
  }
}

const forTokens = ({ MODEL_ROUTES, LIST_ROUTES }: OpenRoutes): Variant => ({
  about: [],
  checkAddresses: [],
  checkReplies: [],
  extAuthz: [],
  routes: [
    ...MODEL_ROUTES.map(({ path }) =>
      render('envoy/model-route.yaml.template', { LONGEST_BODY_BYTES, notForEngine, path }),
    ),
    ...LIST_ROUTES.map(({ path }) =>
      render('envoy/token-list-route.yaml.template', {
        about: [],
        cluster: 'mintmark',
        path,
        headers: GET,
        perFilter: [],
      }),
    ),
  ],
  clusters: [ENGINE, PUBLIC].map(cluster),
})

/** A request with only a token skips the ext_authz check; every other one is checked by Mintmark. */
const forKeys = (
  { MODEL_ROUTES, LIST_ROUTES }: OpenRoutes,
  service: string,
  perList: readonly string[] = [],
): Values => ({
  about: ['# This file accepts API keys as well as tokens: Mintmark exchanges the key for a token.\n#'],
  checkReplies: [render('envoy-parts/check-replies.yaml', {})],
  extAuthz: [
    render('envoy/ext-authz.yaml.template', {
      LONGEST_TOKEN_BYTES,
      keyHeaders: REMOVED_HEADERS.map(name => `{ exact: ${name} }`).join(', '),
      service: render(service, { CHECK_SECONDS }),
      ...CREDENTIAL_MESSAGES,
    }),
    '',
  ],
  routes: [
    ...MODEL_ROUTES.map(({ path }) =>
      render('envoy/check-routes.yaml.template', {
        LONGEST_BODY_BYTES,
        notForEngine,
        path,
        noKey: NO_KEY,
      }),
    ),
    ...LIST_ROUTES.map(({ path }) =>
      render('envoy/token-list-route.yaml.template', {
        about: [
          '# A token in two headers is one once the filters of the next route are chosen, without that script: Mintmark answers.',
        ],
        cluster: 'mintmark_gateway',
        path,
        headers: [GET, TOKEN, NO_KEY].join(', '),
        perFilter: [render('envoy/without-check.yaml', {}), ...perList],
      }),
    ),
    ...LIST_ROUTES.map(({ path }) => render('envoy/list-route.yaml.template', { path })),
  ],
})
