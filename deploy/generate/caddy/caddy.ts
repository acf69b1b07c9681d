import {
  CLAIM_HEADERS,
  LIST_ROUTES,
  LONGEST_BODY_BYTES,
  MODEL_ROUTES,
  STRIPPED_NAMES,
} from '../../../src/gateway/headers.ts'
import { REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { render } from '../template.ts'

/** The client's headers with a dash in their names that are forwarded. */
const KEPT = [...REMOVED_HEADERS, 'Content-Type', 'User-Agent']

const alternatives = (routes: readonly { path: string }[]) => routes.map(({ path }) => path).join('|')

export function caddyFiles(): Record<string, string> {
  return {
    'deploy/caddy/Caddyfile': render('caddy/Caddyfile.template', {
      LONGEST_BODY_BYTES,
      REMOVED_HEADERS,
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
