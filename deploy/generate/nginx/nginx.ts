import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { type DenialCode, denial } from '../../../src/gateway/denial.ts'
import {
  CLAIM_HEADERS,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  type OpenRoutes,
  REQUIRED_SCOPE,
} from '../../../src/gateway/headers.ts'
import { LONGEST_TOKEN_BYTES } from '../../../src/tokens/claims.ts'
import { AUDIENCE, ISSUER, ORIGINS } from '../example.ts'
import { AWAY, modelNotFound } from '../messages.ts'
import { render } from '../template.ts'

/** As Mintmark says it, for a string in single quotes. */
const messageOf = (code: DenialCode) => denial(code).message.replaceAll("'", "\\'")

const claims = [...new Set(CLAIM_HEADERS.map(({ claim }) => claim))]

export function nginxFiles({ MODEL_ROUTES }: OpenRoutes): Record<string, string> {
  return {
    'deploy/nginx/nginx.conf': render('nginx/nginx.conf.template', {
      CLAIM_HEADERS,
      LONGEST_BODY_BYTES,
      MODEL_HEADER,
      ORIGINS,
      claims,
      engineAway: AWAY.engine,
      modelPaths: MODEL_ROUTES.map(({ path }) => path).join('|'),
    }),
    'deploy/nginx/mintmark.js': render('nginx/mintmark.js.template', {
      ISSUER,
      AUDIENCE,
      LONGEST_TOKEN_BYTES,
      MODEL_ROUTES,
      REQUIRED_SCOPE,
      claims,
      readModel: readModelScript(),
      missingCredential: messageOf('missing_credential'),
      ambiguousCredential: messageOf('ambiguous_credential'),
      invalidApiKey: messageOf('invalid_api_key'),
      invalidToken: messageOf('invalid_token'),
      modelNotAllowed: messageOf('model_not_allowed'),
      modelNotFound,
    }),
  }
}

/**
 * src/gateway/model-in-body.ts as a plain script, because njs knows no types and mintmark.js exports one thing; with the
 * functions of scanners.js.template in place of those that loop over bytes.
 */
function readModelScript(): string {
  const source = readFileSync(new URL('../../../src/gateway/model-in-body.ts', import.meta.url), 'utf8')
  const scanners = render('nginx/scanners.js.template', {})
  const replaced = [...scanners.matchAll(/^function (\w+)/gm)].map(([, name = '']) => name)
  const withoutLoops = replaced.reduce<string>(
    (text, name) => text.replace(new RegExp(`^/\\*\\*[^\n]*\\*/\nfunction ${name}\\([^]*?^}\n\n?`, 'm'), ''),
    stripTypeScriptTypes(source),
  )
  return `${withoutLoops}\n${scanners}`
    .replaceAll(/(?<=\S) {2,}(?=\S)/g, ' ')
    .replaceAll(/ +(?=[,)\n])/g, '')
    .replaceAll(/^export /gm, '')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim()
}
