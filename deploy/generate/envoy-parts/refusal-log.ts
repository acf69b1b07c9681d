import { ENVOY_DETAILS } from '../../../src/gateway/envoy-details.ts'
import { REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import type { Values } from '../template.ts'

/** Where the answer of the check has its reason: in a field of its message, or in a header. */
const METADATA = {
  grpc: { reason: 'reason', requestId: 'request_id' },
  http: { reason: 'x-mintmark-reason', requestId: 'x-request-id' },
} as const

/** The values of refusal-log.yaml.template. */
export function refusalLog(check: keyof typeof METADATA): Values {
  const { reason, requestId } = METADATA[check]
  return { reasonExpression: expression(reason), checkRequestId: requestId }
}

const DETAILS = 'response.code_details'
/** A credential in two headers is one before this is evaluated. */
const sent = ['authorization', ...REMOVED_HEADERS].map(name => `"${name}" in request.headers`)
const two = sent.flatMap((one, index) => sent.slice(index + 1).map(other => `${one} && ${other}`))

/** CEL for the reason: of what Envoy decided itself, what the check said, and what the scripts refused. */
function expression(checked: string): string {
  const cases: [condition: string, value: string][] = [
    [
      `${DETAILS} == "ext_authz_denied"`,
      `metadata.filter_metadata["envoy.filters.http.ext_authz"]["${checked}"]`,
    ],
    ...ENVOY_DETAILS.map(([text, reason]): [string, string] => [
      `${DETAILS}.contains("${text}")`,
      `"${reason}"`,
    ]),
    // The scripts refuse a credential by its form with 401, and a body with 400 or 415.
    [
      'response.code == 401',
      `${sent.map(each => `!(${each})`).join(' && ')} ? "missing_credential" : (${two.join(' || ')}) ? "ambiguous_credential" : "malformed"`,
    ],
    ['response.code < 500', '"invalid_body"'],
  ]
  return cases.reduceRight(
    (rest, [condition, value]) => `${condition} ? ${value.includes('?') ? `(${value})` : value} : ${rest}`,
    '"engine_unavailable"',
  )
}
