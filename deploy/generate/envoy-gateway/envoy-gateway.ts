import {
  CLAIM_HEADERS,
  LIST_ROUTES,
  LONGEST_BODY_BYTES,
  MODEL_ROUTES,
  STRIPPED_NAMES,
  STRIPPED_PREFIXES,
} from '../../../src/gateway/headers.ts'
import { REMOVED_HEADERS } from '../../../src/gateway/set-headers.ts'
import { AUDIENCE, ISSUER } from '../example.ts'
import { render } from '../template.ts'

const keyHeaders = REMOVED_HEADERS.join(', ')

/** API keys and tokens at a Gateway of Envoy Gateway: three files that belong together. */
export function envoyGatewayFiles(): Record<string, string> {
  return {
    'deploy/envoy-gateway/routes.yaml': render('envoy-gateway/routes.yaml.template', {
      LIST_ROUTES,
      MODEL_ROUTES,
      keyHeaders,
    }),
    'deploy/envoy-gateway/security-policy.yaml': render('envoy-gateway/security-policy.yaml.template', {
      ISSUER,
      AUDIENCE,
      CLAIM_HEADERS,
      LONGEST_BODY_BYTES,
      keyHeaders,
    }),
    'deploy/envoy-gateway/traffic-policies.yaml': render('envoy-gateway/traffic-policies.yaml.template', {
      LONGEST_BODY_BYTES,
      STRIPPED_NAMES,
      STRIPPED_PREFIXES,
    }),
  }
}
