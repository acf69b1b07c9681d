import { readFileSync } from 'node:fs'
import { AUDIENCE, ISSUER, modelScannerLua } from './filter-parts.ts'
import {
  CLAIM_HEADERS,
  LIST_ROUTES,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  MODEL_ROUTES,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
} from './headers.ts'
import { REMOVED_HEADERS } from './set-headers.ts'

/** deploy/haproxy/: haproxy.cfg, and the Lua that it calls. */

/** Files that must be there at the start: more than are ever published at once in an ordinary rotation. */
const KEY_SLOTS = [1, 2, 3, 4]

export function haproxyLua(): string {
  const routes = MODEL_ROUTES.map(({ path, priorityFromHeader }) => `  ["${path}"] = ${priorityFromHeader},`)
  return readFileSync(new URL('haproxy.lua', import.meta.url), 'utf8')
    .replace('@ROUTES@', () => routes.join('\n'))
    .replace('@SCANNER@\n', modelScannerLua)
}

export function haproxyCfg(): string {
  const lines = (texts: readonly string[]) => texts.map(text => `  ${text}`).join('\n')
  /** As anything behind would read it. */
  const spelled = (name: string) => name.replaceAll('-', '[-_]')
  const refuse = (status: number, type: string, code: string, message: string, header = '') =>
    `return status ${status} content-type application/json string '{"error":{"message":"${message}","type":"${type}","code":"${code}","param":null}}'${header}`
  const unauthorized = refuse(
    401,
    'authentication_error',
    'invalid_token',
    'Exchange your API key for a token and send that.',
    ` hdr WWW-Authenticate 'Bearer realm="mintmark"'`,
  )
  const verified = KEY_SLOTS.map(
    slot => `acl signed var(txn.token),jwt_verify(txn.alg,"/etc/haproxy/mintmark/key-${slot}.pem") -m int 1`,
  )
  const claims = [...new Set(CLAIM_HEADERS.map(({ claim }) => claim))]
  return `# HAProxy in front of vLLM, admitting Mintmark's tokens. Made by scripts/generate-deploy.ts from src/gateway/: do not edit here
# what that list says. docs/guides/haproxy.md explains it; test/gateways/haproxy.test.ts runs this very file.
#
# Mintmark needs: MINTMARK_SIGNING_ALG=RS256. API keys are not swapped here: clients bring tokens.
# Yours to change: the issuer and the audience below, vllm:8000, mintmark:8082, and where clients connect ("bind").
# Oldest HAProxy: 2.6.12 with Debian's security fixes. Never jwt_verify with ES256 before the fix of April 2026.

global
  # A body is held whole to find its model.
  tune.bufsize ${LONGEST_BODY_BYTES + 131_072}
  tune.ssl.default-dh-param 2048
  maxconn 500
  lua-load /etc/haproxy/mintmark/mintmark.lua

defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 900s
  timeout http-request 10s

frontend inference
  bind 0.0.0.0:10000
  option forwardfor

  # The strip list, in any spelling that something behind would read, before anything is looked at.
${lines([
  ...STRIPPED_NAMES.map(name => `http-request del-header ^${spelled(name)}$ -m reg`),
  ...STRIPPED_PREFIXES.map(({ name }) => `http-request del-header ^${spelled(name)} -m reg`),
])}

  # Not the engine's list, which names every tenant's adapters: Mintmark lists what the caller may use, and sees to the
  # credential itself.
  acl list method GET
  acl list_path path -m str ${LIST_ROUTES.map(({ path }) => path).join(' ')}
  use_backend mintmark if list list_path
  http-request allow if list list_path

  acl model_method method POST
  acl model_path path -m str ${MODEL_ROUTES.map(({ path }) => path).join(' ')}
  http-request ${refuse(404, 'invalid_request_error', 'not_found', 'This route is not open.')} unless model_method model_path

  # One credential, in one place, once.
  acl elsewhere ${REMOVED_HEADERS.map(name => `req.hdr_cnt(${name}) gt 0`)[0]}
${lines(REMOVED_HEADERS.slice(1).map(name => `acl elsewhere req.hdr_cnt(${name}) gt 0`))}
  http-request ${unauthorized} if elsewhere
  http-request ${unauthorized} if !{ req.fhdr_cnt(authorization) eq 1 }
  # Two in one, with a comma between: http_auth_bearer would take the first.
  http-request ${unauthorized} if { req.hdr_cnt(authorization) gt 1 }

  # A token of ours: form, algorithm (before anything is verified), signature by one of the published keys, type, issuer,
  # audience, expiry. Whatever cannot be read makes its line false, and is refused.
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.alg) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.exp) var(txn.token),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  acl formed var(txn.token) -m reg ^[A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+$
  acl rs256 var(txn.alg) -m str RS256
${lines(verified)}
  acl typed var(txn.token),jwt_header_query('$.typ') -m str at+jwt
  acl issuer var(txn.token),jwt_payload_query('$.iss') -m str ${ISSUER}
  acl audience var(txn.token),jwt_payload_query('$.aud') -m str ${AUDIENCE}
  acl current var(txn.exp),sub(txn.now) -m int gt 0
  http-request ${unauthorized} if !formed
  http-request ${unauthorized} if !rs256
  http-request ${unauthorized} if !signed
  http-request ${unauthorized} if !typed
  http-request ${unauthorized} if !issuer
  http-request ${unauthorized} if !audience
  http-request ${unauthorized} if !current

  # The body's model, and whether the token has it.
  acl json req.fhdr(content-type) -m reg -i '^application/json[[:space:]]*(;[[:space:]]*charset="?utf-8"?[[:space:]]*)?$'
  http-request ${refuse(415, 'invalid_request_error', 'invalid_body', 'Send the body as application/json in UTF-8, not compressed.')} if !json or { req.fhdr_cnt(content-type) gt 1 } or { req.hdr_cnt(content-encoding) gt 0 }
  http-request ${refuse(413, 'invalid_request_error', 'body_too_large', `The body is longer than ${LONGEST_BODY_BYTES} bytes.`)} if { req.body_size gt ${LONGEST_BODY_BYTES} }
  http-request wait-for-body time 30s
  http-request ${refuse(413, 'invalid_request_error', 'body_too_large', `The body is longer than ${LONGEST_BODY_BYTES} bytes.`)} if { req.body_len gt ${LONGEST_BODY_BYTES} }
  http-request set-var(txn.payload) var(txn.token),field(2,.),ub64dec
  http-request lua.mintmark_model
  http-request return status 400 content-type application/json lf-string '{"error":{"message":"%[var(txn.fault)]","type":"invalid_request_error","code":"invalid_body","param":null}}' if { var(txn.fault) -m found }
  http-request ${refuse(403, 'permission_error', 'model_not_allowed', 'The token does not allow this model.')} if !{ var(txn.model) -m found }

  # What the engine is told. It does not get the token.
${lines(claims.map(claim => `http-request set-var(txn.${claim}) var(txn.token),jwt_payload_query('$.${claim}')`))}
${lines(CLAIM_HEADERS.map(({ claim, header }) => `http-request set-header ${header} %[var(txn.${claim})]`))}
  http-request set-header ${MODEL_HEADER} %[var(txn.model)]
  http-request del-header authorization
${lines(REMOVED_HEADERS.map(name => `http-request del-header ^${spelled(name)}$ -m reg`))}
  # It may name headers to drop on the way, and an upgraded request has no end.
  http-request del-header connection
  http-request del-header upgrade
  default_backend vllm

backend vllm
  server engine vllm:8000

backend mintmark
  timeout server 5s
  http-request del-header connection
  server door mintmark:8082
`
}
