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
import { AUDIENCE, CHECK_SECONDS, ISSUER, ORIGINS } from '../example.ts'
import { AWAY, LIMIT_REACHED, malformed, modelNotFound } from '../messages.ts'
import { render, type Values } from '../template.ts'

/** As Mintmark says it, for a string in single quotes. */
const messageOf = (code: DenialCode) => denial(code).message.replaceAll("'", "\\'")

const UNKNOWN_ROUTE =
  '{"type":"error","error":{"message":"Unknown route.","type":"invalid_request_error","code":"not_found","param":null}}'

const claims = [...new Set(CLAIM_HEADERS.map(({ claim }) => claim))]

const WITHOUT_LIMITS: Values = {
  oldest: "nginx 1.22.1 with Debian's security fixes (elsewhere 1.26.3 or 1.28), njs 0.7.9",
  limitsScript: [],
  limitHeaders: [],
  gate: 'mintmark.gate',
}
const WITH_LIMITS: Values = {
  oldest: 'nginx 1.26.3 with njs 0.8.9',
  limitsScript: [
    'js_import limits from limits.js;',
    '# What all workers have counted: some 30,000 windows. When it is full, the oldest are forgotten.',
    'js_shared_dict_zone zone=mintmark_limits:4m timeout=86400s type=number evict;',
    ...['limit', 'remaining', 'reset'].map(name => `js_var $mm_${name} "";`),
  ],
  limitHeaders: ['limit', 'remaining', 'reset'].map(
    name => `add_header x-ratelimit-${name} $mm_${name} always;`,
  ),
  gate: 'limits.gate',
}

const WITHOUT_USAGE: Values = { usageScript: [], usageFilter: [] }
const WITH_USAGE: Values = {
  usageScript: [
    '# Usage, a line for each request, which a Collector reads: docs/guides/usage.md.',
    'js_import usage from usage.js;',
    'js_set $mm_usage usage.line;',
    'js_var $mm_usage_tokens "";',
    "log_format usage escape=none '$mm_usage';",
    'access_log /var/log/nginx/mintmark-usage.log usage if=$mm_usage;',
  ],
  usageFilter: ['js_body_filter usage.count;'],
}

/**
 * For tokens and API keys; the second configuration also enforces their limits of requests. `reports`: both write usage.
 */
export function nginxFiles({ MODEL_ROUTES }: OpenRoutes, reports = false): Record<string, string> {
  const configuration = (limits: Values) =>
    render('nginx/nginx.conf.template', {
      ...limits,
      ...(reports ? WITH_USAGE : WITHOUT_USAGE),
      CHECK_SECONDS,
      CLAIM_HEADERS,
      LONGEST_BODY_BYTES,
      MODEL_HEADER,
      ORIGINS,
      claims,
      engineAway: AWAY.engine,
      longHeaders: malformed('A header is longer than 8 KiB, or all together than 32 KiB.'),
      malformed: malformed('Malformed request.'),
      modelPaths: MODEL_ROUTES.map(({ path }) => path).join('|'),
      unknownRoute: UNKNOWN_ROUTE,
    })
  return {
    'deploy/nginx/nginx.conf': configuration(WITHOUT_LIMITS),
    'deploy/nginx/nginx-limits.conf': configuration(WITH_LIMITS),
    'deploy/nginx/limits.js': render('nginx/limits.js.template', {
      limitOfDay: LIMIT_REACHED.day,
      limitOfMinute: LIMIT_REACHED.minute,
    }),
    ...(reports && {
      'deploy/nginx/usage.js': render('nginx/usage.js.template', { AUDIENCE, LONGEST_BODY_BYTES }),
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
 * src/gateway/model-in-body.ts, names and lists of media as a plain script, because njs knows no types and mintmark.js exports one thing; with the
 * functions of scanners.js.template in place of those that loop over bytes.
 */
function readModelScript(): string {
  const source = [
    '../../../src/gateway/refused-fields.ts',
    '../../../src/gateway/media-name.ts',
    '../../../src/gateway/model-in-body.ts',
  ]
    .map(path => readFileSync(new URL(path, import.meta.url), 'utf8'))
    .join('\n')
    .replace(/^import \{[^}]*\} from [^\n]*\n/gm, '')
  const scanners = render('nginx/scanners.js.template', {})
  const replaced = [...scanners.matchAll(/^(?:async )?function (\w+)/gm)].map(([, name = '']) => name)
  const withoutLoops = replaced.reduce<string>(
    (text, name) =>
      text.replace(new RegExp(`^/\\*\\*[^\n]*\\*/\n(?:async )?function ${name}\\([^]*?^}\n\n?`, 'm'), ''),
    stripTypeScriptTypes(source),
  )
  return `${asynchronous(withoutLoops)}\n${scanners}`
    .replaceAll(/(?<=\S) {2,}(?=\S)/g, ' ')
    .replaceAll(/ +(?=[,)\n])/g, '')
    .replaceAll(/,(?=\n\))/g, '')
    .replaceAll(/^export /gm, '')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trim()
}

/** A string too is looked at in turns, because njs takes longer. */
function asynchronous(script: string): string {
  const [from, to] = ['stringEnd(body, i) : -1', 'await wholeString(body, i) : -1']
  if (script.split(from).length !== 2) throw new Error(`model-in-body.ts does not say once: ${from}`)
  return script.replace(from, to)
}
