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
import { LONGEST_TOKEN_BYTES } from '../../../src/tokens/claims.ts'
import { AUDIENCE, ISSUER } from '../example.ts'
import { CREDENTIAL_MESSAGES } from '../messages.ts'
import { render, type Values } from '../template.ts'

/** A complete Envoy configuration in one file: for tokens only, or also for API keys, checked over HTTP or gRPC. */
export function envoyFiles(): Record<string, string> {
  return {
    'deploy/envoy/envoy.yaml': envoyYaml(FOR_TOKENS),
    'deploy/envoy/envoy-api-keys.yaml': envoyYaml({
      ...forKeys('envoy/ext-authz-http.yaml'),
      checkAddresses: ['#   mintmark:8082, mintmark, 8082    its gateway listener, which checks API keys'],
      clusters: [ENGINE, PUBLIC, GATEWAY].map(cluster),
    }),
    'deploy/envoy/envoy-api-keys-grpc.yaml': envoyYaml({
      ...forKeys('envoy/ext-authz-grpc.yaml'),
      checkAddresses: [
        '#   mintmark, 8083                   its gRPC listener, which checks API keys',
        '#   mintmark, 8082                   its gateway listener, which lists the models',
      ],
      clusters: [ENGINE, PUBLIC, GATEWAY, GRPC].map(cluster),
    }),
  }
}

const envoyYaml = (variant: Values) =>
  render('envoy/envoy.yaml.template', {
    ISSUER,
    AUDIENCE,
    CLAIM_HEADERS,
    LIST_ROUTES,
    LONGEST_BODY_BYTES,
    MODEL_HEADER,
    MODEL_ROUTES,
    STEERING_FIELDS,
    STRIPPED_NAMES,
    STRIPPED_PREFIXES,
    UNVERIFIED_BODY_BYTES,
    ...variant,
  })

// Each idle connection is closed before the other side closes it.
const ENGINE = { name: 'vllm', host: 'vllm', port: 8000, protocol: 'http', idleTimeout: '4s' }
const PUBLIC = { name: 'mintmark', host: 'mintmark', port: 8080, protocol: 'http', idleTimeout: '4s' }
const GATEWAY = { ...PUBLIC, name: 'mintmark_gateway', port: 8082 }
const GRPC = { ...PUBLIC, name: 'mintmark_grpc', port: 8083, protocol: 'http2', idleTimeout: '60s' }

const cluster = (values: typeof ENGINE) => render('envoy/cluster.yaml.template', values)

const FOR_TOKENS: Values = {
  about: [],
  checkAddresses: [],
  checkReplies: [],
  extAuthz: [],
  removedHeaders: [],
  routes: [
    ...MODEL_ROUTES.map(({ path }) =>
      render('envoy/model-route.yaml.template', { LONGEST_BODY_BYTES, path }),
    ),
    ...LIST_ROUTES.map(({ path }) => render('envoy/engine-list-route.yaml.template', { path })),
  ],
  clusters: [ENGINE, PUBLIC].map(cluster),
}

/** A request with only a token skips the ext_authz check; every other one is checked by Mintmark. */
const forKeys = (service: string): Values => ({
  about: ['# This file accepts API keys as well as tokens: Mintmark exchanges the key for a token.\n#'],
  checkReplies: [render('envoy-parts/check-replies.yaml', {})],
  extAuthz: [
    render('envoy/ext-authz.yaml.template', {
      LONGEST_TOKEN_BYTES,
      keyHeaders: REMOVED_HEADERS.map(name => `{ exact: ${name} }`).join(', '),
      service: render(service, {}),
      ...CREDENTIAL_MESSAGES,
    }),
    '',
  ],
  removedHeaders: [render('envoy/removed-headers.yaml.template', { names: REMOVED_HEADERS.join(', ') })],
  routes: [
    ...MODEL_ROUTES.map(({ path }) =>
      render('envoy/check-routes.yaml.template', {
        LONGEST_BODY_BYTES,
        path,
        noKey: REMOVED_HEADERS.map(name => `{ name: ${name}, present_match: false }`).join(', '),
      }),
    ),
    ...LIST_ROUTES.map(({ path }) => render('envoy/list-route.yaml.template', { path })),
  ],
})
