import { ENVOY_DETAILS } from '../../../src/gateway/envoy-details.ts'
import { REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import type { Values } from '../template.ts'
import { TOKEN_METADATA } from './limits.ts'

const EXT_AUTHZ = 'envoy.filters.http.ext_authz'
/** What the log reads of a denial: fields of its message over gRPC, headers of it over HTTP, or what a script takes from these. */
const CHECKED = {
  grpc: { namespace: EXT_AUTHZ, reason: 'reason', requestId: 'request_id' },
  http: { namespace: EXT_AUTHZ, reason: 'x-mintmark-reason', requestId: 'x-request-id' },
  script: { namespace: 'mintmark.check', reason: 'reason', requestId: 'request_id' },
} as const
type Check = keyof typeof CHECKED

/** A refusal, and no answer of the engine or of Mintmark's list of models. */
export const IS_REFUSED =
  'response.code >= 400 && response.code != 404 && response.code_details != "via_upstream"'

/** The values of refusal-log.yaml.template. */
export const refusalLog = (check: Check, gateway: 'envoy' | 'istio' = 'envoy'): Values => ({
  isRefused: IS_REFUSED,
  logged: loggedFields(gateway, check, 'payload'),
})

/** What a line has, as YAML. `payload`: the name of the verified token in the metadata. */
export function loggedFields(
  gateway: string,
  check: Check,
  payload: string,
): { name: string; value: string }[] {
  const { namespace, reason, requestId } = CHECKED[check]
  return Object.entries({
    time: '"%START_TIME%"',
    gateway,
    status: '"%RESPONSE_CODE%"',
    reason: `'%CEL(${expression(namespace, reason)})%'`,
    details: '"%RESPONSE_CODE_DETAILS%"',
    request_id: '"%REQ(X-REQUEST-ID)%"',
    check_request_id: `"%DYNAMIC_METADATA(${namespace}:${requestId})%"`,
    client_id: `"%DYNAMIC_METADATA(${TOKEN_METADATA}:${payload}:sub)%"`,
    token_id: `"%DYNAMIC_METADATA(${TOKEN_METADATA}:${payload}:jti)%"`,
    source: '"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"',
  }).map(([name, value]) => ({ name, value }))
}

const DETAILS = 'response.code_details'
/** A credential in two headers is one before this is evaluated. */
const sent = ['authorization', ...REMOVED_HEADERS].map(name => `"${name}" in request.headers`)
const two = sent.flatMap((one, index) => sent.slice(index + 1).map(other => `${one} && ${other}`))

/** CEL for the reason: of what Envoy decided itself, what the check said, and what the scripts refused. */
function expression(namespace: string, checked: string): string {
  const cases: [condition: string, value: string][] = [
    [`${DETAILS} == "ext_authz_denied"`, `metadata.filter_metadata["${namespace}"]["${checked}"]`],
    ...ENVOY_DETAILS.map(([text, reason]): [string, string] => [
      `${DETAILS}.contains("${text}")`,
      `"${reason}"`,
    ]),
    // Envoy Gateway replaces the answers of its policies, and the details with them. Left of this one is its flag, UAEX.
    ['response.flags == 4096', '"check_unreachable"'],
    // The scripts refuse a credential by its form with 401, and a body with 400 or 415.
    [
      'response.code == 401',
      `${sent.map(each => `!(${each})`).join(' && ')} ? "missing_credential" : (${two.join(' || ')}) ? "ambiguous_credential" : "malformed"`,
    ],
    ['response.code == 403', '"not_allowed"'],
    ['response.code < 500', '"invalid_body"'],
  ]
  return cases.reduceRight(
    (rest, [condition, value]) => `${condition} ? ${value.includes('?') ? `(${value})` : value} : ${rest}`,
    '"engine_unavailable"',
  )
}
