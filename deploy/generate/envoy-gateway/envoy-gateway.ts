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
import { FETCHED_FIELDS, STEERING_FIELDS } from '../../../src/gateway/model-in-body.ts'
import { NOT_FOR_ENGINE, REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { AUDIENCE, ISSUER, ORIGINS } from '../example.ts'
import { AWAY, modelNotFound } from '../messages.ts'
import { render } from '../template.ts'

const keyHeaders = REMOVED_HEADERS.join(', ')

/** One match of a route: this method and path, and headers with values of these patterns. */
const match = (path: string, headers: [name: string, pattern: string][], method = 'POST', type = 'Exact') => {
  const patterns = headers.map(
    ([name, pattern]) => `{ type: RegularExpression, name: ${name}, value: "${pattern}" }`,
  )
  return `- { path: { type: ${type}, value: ${path} }, method: ${method}, headers: [${patterns.join(', ')}] }`
}
/** The list of models, and below it each by its name. */
const BELOW = 'PathPrefix'

/** Headers that pages send: those of OpenAI's and Anthropic's clients for browsers. */
const STAINLESS = 'Arch Helper-Method Lang OS Package-Version Retry-Count Runtime Runtime-Version Timeout'
const PAGE_HEADERS = [
  ...['Authorization', 'Content-Type', 'X-Api-Key', 'Api-Key', 'X-Request-Id'],
  ...['OpenAI-Beta', 'OpenAI-Organization', 'OpenAI-Project'],
  ...['Anthropic-Beta', 'Anthropic-Dangerous-Direct-Browser-Access', 'Anthropic-Version'],
  ...STAINLESS.split(' ').map(name => `X-Stainless-${name}`),
]

const PREFLIGHT: [string, string][] = [
  ['origin', '.+'],
  ['access-control-request-method', '.+'],
]

/** Spellings of the scheme that clients use. What is spelled in another way, Mintmark checks. */
const SCHEMES = ['Bearer', 'bearer', 'BEARER']
const TOKEN: [string, string] = ['authorization', `(${SCHEMES.join('|')}) +eyJ.*`]

/** API keys and tokens at a Gateway of Envoy Gateway: five files that belong together. */
export function envoyGatewayFiles({ MODEL_ROUTES, LIST_ROUTES }: OpenRoutes): Record<string, string> {
  return {
    'deploy/envoy-gateway/envoy-proxy.yaml': render('envoy-gateway/envoy-proxy.yaml.template', {}),
    'deploy/envoy-gateway/extension-policy.yaml': render('envoy-gateway/extension-policy.yaml.template', {
      LIST_ROUTES,
      LONGEST_BODY_BYTES,
      MODEL_HEADER,
      MODEL_ROUTES,
      REQUIRED_SCOPE,
      FETCHED_FIELDS,
      STEERING_FIELDS,
      modelNotFound,
    }),
    'deploy/envoy-gateway/routes.yaml': render('envoy-gateway/routes.yaml.template', {
      LIST_ROUTES,
      MODEL_ROUTES,
      preflights: [
        ...MODEL_ROUTES.map(({ path }) => match(path, PREFLIGHT, 'OPTIONS')),
        ...LIST_ROUTES.map(({ path }) => match(path, PREFLIGHT, 'OPTIONS', BELOW)),
      ],
      notForEngine: NOT_FOR_ENGINE.join(', '),
      listTokenAlone: LIST_ROUTES.map(({ path }) => match(path, [TOKEN], 'GET', BELOW)),
      listTwoCredentials: LIST_ROUTES.flatMap(({ path }) =>
        REMOVED_HEADERS.map(name => match(path, [TOKEN, [name, '.+']], 'GET', BELOW)),
      ),
      tokenAlone: MODEL_ROUTES.map(({ path }) => match(path, [TOKEN])),
      twoCredentials: MODEL_ROUTES.flatMap(({ path }) =>
        REMOVED_HEADERS.map(name => match(path, [TOKEN, [name, '.+']])),
      ),
    }),
    'deploy/envoy-gateway/security-policy.yaml': render('envoy-gateway/security-policy.yaml.template', {
      ISSUER,
      AUDIENCE,
      CLAIM_HEADERS,
      MODEL_HEADER,
      REQUIRED_SCOPE,
      allowedOrigins: ORIGINS.map(origin => `"${origin}"`).join(', '),
      keyHeaders,
      pageHeaders: PAGE_HEADERS.join(', '),
      prefixes: SCHEMES.map(scheme => `{ name: Authorization, valuePrefix: "${scheme} " }`).join(', '),
    }),
    'deploy/envoy-gateway/traffic-policies.yaml': render('envoy-gateway/traffic-policies.yaml.template', {
      LONGEST_BODY_BYTES,
      REQUIRED_SCOPE,
      STRIPPED_NAMES,
      STRIPPED_PREFIXES,
      UNVERIFIED_BODY_BYTES,
      engineAway: AWAY.engine,
      mintmarkAway: AWAY.mintmark,
    }),
  }
}
