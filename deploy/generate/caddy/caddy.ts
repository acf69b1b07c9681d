import {
  CLAIM_HEADERS,
  LONGEST_BODY_BYTES,
  type OpenRoutes,
  STRIPPED_NAMES,
} from '../../../src/gateway/headers.ts'
import { REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { CHECK_SECONDS, ORIGINS } from '../example.ts'
import { AWAY, REFUSED } from '../messages.ts'
import { render } from '../template.ts'

/** The client's headers with a dash in their names that are forwarded. */
const KEPT = [...REMOVED_HEADERS, 'Content-Type', 'User-Agent', 'Anthropic-Version', 'Anthropic-Beta']

const alternatives = (routes: readonly { path: string }[]) => routes.map(({ path }) => path).join('|')

export function caddyFiles({ MODEL_ROUTES, LIST_ROUTES }: OpenRoutes): Record<string, string> {
  return {
    'deploy/caddy/Caddyfile': render('caddy/Caddyfile.template', {
      CHECK_SECONDS,
      LONGEST_BODY_BYTES,
      ORIGINS,
      REMOVED_HEADERS,
      engineAway: AWAY.engine,
      mintmarkAway: AWAY.mintmark,
      missingBody: REFUSED.missing.body,
      missingChallenge: REFUSED.missing.challenge,
      malformedBody: REFUSED.malformed.body,
      malformedChallenge: REFUSED.malformed.challenge,
      claimHeaders: CLAIM_HEADERS.map(({ header }) => header).join(' '),
      longestDigits: String(LONGEST_BODY_BYTES).length,
      kept: KEPT.map(name => ({ name, variable: `kept_${name.toLowerCase().replaceAll('-', '_')}` })),
      listPaths: alternatives(LIST_ROUTES),
      modelPaths: alternatives(MODEL_ROUTES),
      // The names with a dash are removed by a pattern.
      singleWords: STRIPPED_NAMES.filter(name => !name.includes('-')),
    }),
  }
}
