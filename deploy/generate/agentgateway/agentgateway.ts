import {
  CLAIM_HEADERS,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  type OpenRoutes,
  STRIPPED_NAMES,
} from '../../../src/gateway/headers.ts'
import { KEY_HEADER_SPELLINGS, NOT_FOR_ENGINE, REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { limits } from '../envoy-parts/limits.ts'
import { AUDIENCE, CHECK_SECONDS, ISSUER, ORIGINS } from '../example.ts'
import { modelNotFound } from '../messages.ts'
import { PAGE_HEADERS } from '../page-headers.ts'
import { render } from '../template.ts'
import { ADMITS_LIST, admitsModel, IS_LIST, NAMES_ONE, THE_LIST, THE_ONE } from './rules.ts'

/** Without `Trailer` agentgateway's HTTP library, hyper, sends no trailers, which an engine's parser may read as headers. */
const NOT_SENT = new Set([
  ...['authorization', ...NOT_FOR_ENGINE, ...KEY_HEADER_SPELLINGS],
  ...['trailer', 'x-request-id'],
])

/** One of the eight limits: skipped where the token does not have it, because the expression fails. */
const descriptor = ({ bucket, name, limit, unit, isOfTokens }: (typeof limits)[number]): string =>
  render('agentgateway/descriptor.yaml.template', {
    ...{ bucket, name, limit, unit: unit.toLowerCase(), type: isOfTokens ? 'tokens' : 'requests' },
  })

/** What the routes have for the limits of the token. */
interface Limited {
  about: string[]
  rateLimit: string[]
  backend: string
}
const WITHOUT_LIMITS: Limited = { about: [], rateLimit: [], backend: '- host: vllm:8000' }
const withLimits = (): Limited => ({
  about: ['# Enforces the limits of the token: docs/guides/limits.md.\n#'],
  rateLimit: [render('agentgateway/rate-limit.yaml.template', { descriptors: limits.map(descriptor) })],
  backend: render('agentgateway/counted-backend.yaml', {}),
})

/** Tokens and API keys at agentgateway, without and with the limits of the token. */
export function agentgatewayFiles({ MODEL_ROUTES, LIST_ROUTES }: OpenRoutes): Record<string, string> {
  const modelRoute = ({ rateLimit, backend }: Limited, priorityFromHeader: boolean): string[] => {
    const routes = MODEL_ROUTES.filter(route => route.priorityFromHeader === priorityFromHeader)
    if (routes.length === 0) return []
    return [
      render('agentgateway/model-route.yaml.template', {
        ...{ CLAIM_HEADERS, MODEL_HEADER, routes, rateLimit, backend },
        name: priorityFromHeader ? 'models' : 'models-without-priority',
        rule: admitsModel({ priorityFromHeader }),
        removed: [...NOT_SENT].join(', '),
      }),
    ]
  }
  const listRoutes = LIST_ROUTES.map(({ path }) =>
    render('agentgateway/list-route.yaml.template', {
      ...{ path, modelNotFound, rule: ADMITS_LIST },
      ...{ isList: IS_LIST(path), list: THE_LIST, namesOne: NAMES_ONE(path), one: THE_ONE(path) },
    }),
  )
  const file = (limited: Limited) =>
    render('agentgateway/agentgateway.yaml.template', {
      ...{ about: limited.about, AUDIENCE, CHECK_SECONDS, ISSUER, LONGEST_BODY_BYTES },
      allowedOrigins: ORIGINS.map(origin => `"${origin}"`).join(', '),
      pageHeaders: PAGE_HEADERS.join(', '),
      stripped: [...STRIPPED_NAMES, ...REMOVED_HEADERS].join(', '),
      routes: [...modelRoute(limited, true), ...modelRoute(limited, false), ...listRoutes],
    })
  return {
    'deploy/agentgateway/agentgateway.yaml': file(WITHOUT_LIMITS),
    'deploy/agentgateway/agentgateway-limits.yaml': file(withLimits()),
  }
}
