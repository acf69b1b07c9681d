import {
  CLAIM_HEADERS,
  LIST_ROUTES,
  LONGEST_BODY_BYTES,
  MODEL_HEADER,
  MODEL_ROUTES,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
  UNVERIFIED_BODY_BYTES,
} from '../../../src/gateway/headers.ts'
import { STEERING_FIELDS } from '../../../src/gateway/model-in-body.ts'
import { REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { AUDIENCE, ISSUER } from '../example.ts'
import { render } from '../template.ts'

const keyHeaders = REMOVED_HEADERS.join(', ')

/** One match of a route: this method and path, and headers with values of these patterns. */
const match = (path: string, headers: [name: string, pattern: string][]) => {
  const patterns = headers.map(
    ([name, pattern]) => `{ type: RegularExpression, name: ${name}, value: "${pattern}" }`,
  )
  return `- { path: { type: Exact, value: ${path} }, method: POST, headers: [${patterns.join(', ')}] }`
}
const TOKEN: [string, string] = ['authorization', 'Bearer eyJ.*']

/** API keys and tokens at a Gateway of Envoy Gateway: five files that belong together. */
export function envoyGatewayFiles(): Record<string, string> {
  return {
    'deploy/envoy-gateway/envoy-proxy.yaml': render('envoy-gateway/envoy-proxy.yaml.template', {}),
    'deploy/envoy-gateway/extension-policy.yaml': render('envoy-gateway/extension-policy.yaml.template', {
      LONGEST_BODY_BYTES,
      MODEL_HEADER,
      MODEL_ROUTES,
      STEERING_FIELDS,
    }),
    'deploy/envoy-gateway/routes.yaml': render('envoy-gateway/routes.yaml.template', {
      LIST_ROUTES,
      MODEL_ROUTES,
      keyHeaders,
      tokenAlone: MODEL_ROUTES.map(({ path }) => match(path, [TOKEN])),
      twoCredentials: MODEL_ROUTES.flatMap(({ path }) =>
        REMOVED_HEADERS.map(name => match(path, [TOKEN, [name, '.+']])),
      ),
    }),
    'deploy/envoy-gateway/security-policy.yaml': render('envoy-gateway/security-policy.yaml.template', {
      ISSUER,
      AUDIENCE,
      CLAIM_HEADERS,
      MODEL_HEADER,
      keyHeaders,
    }),
    'deploy/envoy-gateway/traffic-policies.yaml': render('envoy-gateway/traffic-policies.yaml.template', {
      LONGEST_BODY_BYTES,
      STRIPPED_NAMES,
      STRIPPED_PREFIXES,
      UNVERIFIED_BODY_BYTES,
    }),
  }
}
