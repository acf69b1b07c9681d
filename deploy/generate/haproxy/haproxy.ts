import {
  CLAIM_HEADERS,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  type OpenRoutes,
  REQUIRED_SCOPE,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
} from '../../../src/gateway/headers.ts'
import { FETCHED_FIELDS, STEERING_FIELDS } from '../../../src/gateway/model-in-body.ts'
import { REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { LONGEST_TOKEN_BYTES } from '../../../src/tokens/claims.ts'
import { AUDIENCE, ISSUER, ORIGINS } from '../example.ts'
import { AWAY, modelNotFound } from '../messages.ts'
import { render } from '../template.ts'

/** Files that must exist at the start: more than an ordinary rotation publishes at once. */
const KEY_SLOTS = [1, 2, 3, 4]
/** Buffer for the headers, in addition to the body. */
const HEADER_BYTES = 131_072

/** A pattern for every spelling of the name that software behind the gateway accepts. */
const spelled = (name: string) => name.replaceAll('-', '[-_]')
const paths = (routes: readonly { path: string }[]) => routes.map(({ path }) => path).join(' ')

export function haproxyFiles({ MODEL_ROUTES, LIST_ROUTES }: OpenRoutes): Record<string, string> {
  return {
    'deploy/haproxy/haproxy.cfg': render('haproxy/haproxy.cfg.template', {
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
      modelNotFound: `'${modelNotFound}'`,
      claims: [...new Set(CLAIM_HEADERS.map(({ claim }) => claim))],
      keySlots: KEY_SLOTS,
      longestAuthorization: 'Bearer '.length + LONGEST_TOKEN_BYTES,
      LIST_ROUTES,
      modelPaths: paths(MODEL_ROUTES),
      removedHeaders: REMOVED_HEADERS.map(spelled),
      strippedNames: STRIPPED_NAMES.map(spelled),
      strippedPrefixes: STRIPPED_PREFIXES.map(({ name }) => spelled(name)),
    }),
    'deploy/haproxy/mintmark.lua': render('haproxy/mintmark.lua.template', {
      MODEL_ROUTES,
      FETCHED_FIELDS,
      STEERING_FIELDS,
    }),
  }
}
