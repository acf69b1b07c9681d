import {
  CLAIM_HEADERS,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  type OpenRoutes,
  REQUIRED_SCOPE,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
} from '../../../src/gateway/headers.ts'
import { FETCHED_FIELDS, STEERING_FIELDS, UUID_FIELDS } from '../../../src/gateway/refused-fields.ts'
import { REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { LONGEST_TOKEN_BYTES } from '../../../src/tokens/claims.ts'
import { AUDIENCE, ISSUER, ORIGINS } from '../example.ts'
import { AWAY, LIMIT_REACHED, modelNotFound, REFUSED } from '../messages.ts'
import { render, type Values } from '../template.ts'
import { WITH_USAGE, WITHOUT_USAGE } from './usage.ts'

/** Files that must exist at the start: more than an ordinary rotation publishes at once. */
const KEY_SLOTS = [1, 2, 3, 4]
/** Buffer for the headers, in addition to the body. */
const HEADER_BYTES = 131_072

/** A pattern for every spelling of the name that software behind the gateway accepts. */
const spelled = (name: string) => name.replaceAll('-', '[-_]')
const paths = (routes: readonly { path: string }[]) => routes.map(({ path }) => path).join(' ')

const WITHOUT_LIMITS: Values = {
  oldest: "2.6.12 with Debian's security fixes",
  limitsScript: [],
  limits: [],
}
const WITH_LIMITS: Values = {
  oldest: '3.0, because older ones do not run both kinds of Lua in one request (tested with 3.0.11)',
  limitsScript: ['# One for all threads: they count together.\nlua-load /etc/haproxy/mintmark/limits.lua'],
  limits: [
    render('haproxy/limits.cfg.template', {
      limitOfDay: `'${LIMIT_REACHED.day}'`,
      limitOfMinute: `'${LIMIT_REACHED.minute}'`,
    }),
    '',
  ],
}

/** For tokens; the second file also enforces their limits of requests. `reports`: both write usage. */
export function haproxyFiles(
  { MODEL_ROUTES, LIST_ROUTES }: OpenRoutes,
  reports = false,
): Record<string, string> {
  const configuration = (limits: Values) =>
    render('haproxy/haproxy.cfg.template', {
      ...limits,
      ...(reports ? WITH_USAGE : WITHOUT_USAGE),
      ISSUER,
      AUDIENCE,
      CLAIM_HEADERS,
      LONGEST_BODY_BYTES,
      MODEL_HEADER,
      REMOVED_HEADERS,
      REQUIRED_SCOPE,
      allowedOrigins: ORIGINS.join(' '),
      bufferBytes: LONGEST_BODY_BYTES + HEADER_BYTES,
      engineAway: `'${AWAY.engine}'`,
      mintmarkAway: `'${AWAY.mintmark}'`,
      missingChallenge: `'${REFUSED.missing.challenge}'`,
      missingCredential: `'${REFUSED.missing.body}'`,
      modelNotFound: `'${modelNotFound}'`,
      claims: [...new Set(CLAIM_HEADERS.map(({ claim }) => claim))],
      keySlots: KEY_SLOTS,
      longestAuthorization: 'Bearer '.length + LONGEST_TOKEN_BYTES,
      LIST_ROUTES,
      modelPaths: paths(MODEL_ROUTES),
      removedHeaders: REMOVED_HEADERS.map(spelled),
      strippedNames: STRIPPED_NAMES.map(spelled),
      strippedPrefixes: STRIPPED_PREFIXES.map(({ name }) => spelled(name)),
    })
  return {
    'deploy/haproxy/haproxy.cfg': configuration(WITHOUT_LIMITS),
    'deploy/haproxy/haproxy-limits.cfg': configuration(WITH_LIMITS),
    'deploy/haproxy/limits.lua': render('haproxy/limits.lua.template', {}),
    ...(reports && { 'deploy/haproxy/usage.lua': render('haproxy/usage.lua.template', {}) }),
    'deploy/haproxy/mintmark.lua': render('haproxy/mintmark.lua.template', {
      LONGEST_BODY_BYTES,
      MODEL_ROUTES,
      FETCHED_FIELDS,
      STEERING_FIELDS,
      UUID_FIELDS,
    }),
  }
}
