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
import { WITHOUT_FORMS } from '../envoy-parts/forms.ts'
import { TOKEN_METADATA } from '../envoy-parts/limits.ts'
import { IS_REFUSED, loggedFields } from '../envoy-parts/refusal-log.ts'
import { reportedAttributes } from '../envoy-parts/usage-report.ts'
import { AUDIENCE, CHECK_SECONDS, ISSUER, ORIGINS } from '../example.ts'
import { AWAY, modelNotFound, REFUSED } from '../messages.ts'
import { PAGE_HEADERS } from '../page-headers.ts'
import { render } from '../template.ts'
import { type LimitParts, limitParts, WITHOUT_LIMITS } from './limits.ts'

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

const PREFLIGHT: [string, string][] = [
  ['origin', '.+'],
  ['access-control-request-method', '.+'],
]

/** Spellings of the scheme that clients use. What is spelled in another way, Mintmark checks. */
const SCHEMES = ['Bearer', 'bearer', 'BEARER']
const TOKEN: [string, string] = ['authorization', `(${SCHEMES.join('|')}) +eyJ.*`]
/** Every request has it. The match with more headers wins: so one of a token wins over one of any credential. */
const HOST: [string, string] = ['host', '.+']
/** The headers that may hold a credential. */
const CREDENTIALS = ['authorization', ...REMOVED_HEADERS]
/** By every page: Envoy's filter for pages leaves out what it answers by itself. */
const FOR_PAGES =
  '{ name: Access-Control-Allow-Origin, value: "*" }, { name: Access-Control-Expose-Headers, value: "*" }'

interface Usage {
  about: string[]
  reports: string[]
  usage: string[]
}
const WITHOUT_USAGE: Usage = { about: [], reports: [], usage: [] }
/** As the SecurityPolicy names the provider, Envoy Gateway names the verified token. */
const PROVIDER = 'mintmark'
const withUsage = (replaced: string): Usage => ({
  about: [`# In place of ${replaced}: reports usage.\n#`],
  reports: [
    render('envoy-gateway/usage/reports.yaml.template', {
      ...{ namespace: TOKEN_METADATA, payload: PROVIDER, attributes: reportedAttributes(PROVIDER) },
    }),
  ],
  usage: [
    render('envoy-gateway/usage/lua.yaml.template', {
      ...{ namespace: TOKEN_METADATA, payload: PROVIDER, reported: true },
    }),
  ],
})

/** A file of limits/, in place of this one. */
const forLimits = (replaced: string) => [`# In place of ../${replaced}: enforces the limits of the token.\n#`]

/**
 * API keys and tokens at a Gateway of Envoy Gateway: five files that belong together, two that replace theirs to report
 * usage, and two that replace theirs to enforce limits.
 */
export function envoyGatewayFiles({ MODEL_ROUTES, LIST_ROUTES }: OpenRoutes): Record<string, string> {
  const envoyProxy = ({ about, reports }: Usage) =>
    render('envoy-gateway/envoy-proxy.yaml.template', {
      ...{ about, reports, isRefused: IS_REFUSED },
      logged: loggedFields('envoy-gateway', 'script', PROVIDER),
    })
  const extensionPolicy = ({ about, usage }: Usage) =>
    render('envoy-gateway/extension-policy.yaml.template', {
      about,
      usage,
      LIST_ROUTES,
      LONGEST_BODY_BYTES,
      MODEL_HEADER,
      MODEL_ROUTES,
      REQUIRED_SCOPE,
      FETCHED_FIELDS,
      STEERING_FIELDS,
      UUID_FIELDS,
      modelNotFound,
      ...WITHOUT_FORMS,
    })
  const trafficPolicies = (about: string[], { merged, parent }: LimitParts) =>
    render('envoy-gateway/traffic-policies.yaml.template', {
      ...{ about, merged, parent },
      LONGEST_BODY_BYTES,
      REQUIRED_SCOPE,
      STRIPPED_NAMES,
      STRIPPED_PREFIXES,
      UNVERIFIED_BODY_BYTES,
      engineAway: AWAY.engine,
      forPages: FOR_PAGES,
      mintmarkAway: AWAY.mintmark,
    })
  const limited = limitParts(PROVIDER)
  const limits = { ...WITHOUT_USAGE, about: forLimits('extension-policy.yaml'), usage: limited.lua }
  return {
    'deploy/envoy-gateway/envoy-proxy.yaml': envoyProxy(WITHOUT_USAGE),
    'deploy/envoy-gateway/usage/envoy-proxy.yaml': envoyProxy(withUsage('../envoy-proxy.yaml')),
    'deploy/envoy-gateway/extension-policy.yaml': extensionPolicy(WITHOUT_USAGE),
    'deploy/envoy-gateway/usage/extension-policy.yaml': extensionPolicy(
      withUsage('../extension-policy.yaml'),
    ),
    'deploy/envoy-gateway/limits/extension-policy.yaml': extensionPolicy(limits),
    'deploy/envoy-gateway/routes.yaml': render('envoy-gateway/routes.yaml.template', {
      LIST_ROUTES,
      MODEL_ROUTES,
      preflights: [
        ...MODEL_ROUTES.map(({ path }) => match(path, PREFLIGHT, 'OPTIONS')),
        ...LIST_ROUTES.map(({ path }) => match(path, PREFLIGHT, 'OPTIONS', BELOW)),
      ],
      notForEngine: NOT_FOR_ENGINE.join(', '),
      listCredential: LIST_ROUTES.flatMap(({ path }) =>
        CREDENTIALS.map(name => match(path, [[name, '.+']], 'GET', BELOW)),
      ),
      listTokenAlone: LIST_ROUTES.map(({ path }) => match(path, [TOKEN, HOST], 'GET', BELOW)),
      listTwoCredentials: LIST_ROUTES.flatMap(({ path }) =>
        REMOVED_HEADERS.map(name => match(path, [TOKEN, HOST, [name, '.+']], 'GET', BELOW)),
      ),
      credential: MODEL_ROUTES.flatMap(({ path }) => CREDENTIALS.map(name => match(path, [[name, '.+']]))),
      tokenAlone: MODEL_ROUTES.map(({ path }) => match(path, [TOKEN, HOST])),
      twoCredentials: MODEL_ROUTES.flatMap(({ path }) =>
        REMOVED_HEADERS.map(name => match(path, [TOKEN, HOST, [name, '.+']])),
      ),
      missingBody: REFUSED.missing.body,
      missingChallenge: REFUSED.missing.challenge,
      forPages: FOR_PAGES,
    }),
    'deploy/envoy-gateway/security-policy.yaml': render('envoy-gateway/security-policy.yaml.template', {
      ISSUER,
      AUDIENCE,
      CHECK_SECONDS,
      CLAIM_HEADERS,
      MODEL_HEADER,
      REQUIRED_SCOPE,
      allowedOrigins: ORIGINS.map(origin => `"${origin}"`).join(', '),
      keyHeaders,
      pageHeaders: PAGE_HEADERS.join(', '),
      prefixes: SCHEMES.map(scheme => `{ name: Authorization, valuePrefix: "${scheme} " }`).join(', '),
    }),
    'deploy/envoy-gateway/traffic-policies.yaml': trafficPolicies([], WITHOUT_LIMITS),
    'deploy/envoy-gateway/limits/traffic-policies.yaml': trafficPolicies(
      forLimits('traffic-policies.yaml'),
      limited,
    ),
  }
}
