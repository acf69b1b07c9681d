import { ROUTE_GROUPS, ROUTES } from '../../../src/gateway/headers.ts'
import { count, flag, labels, NAME, object, peers, type Schema, text } from './schema.ts'

/** Services, NetworkPolicies and the route of the token endpoint. */
export const network: Record<string, Schema> = {
  services: object('', {
    annotations: labels('Annotations of all Services'),
    host: {
      enum: ['0.0.0.0', '::'],
      description:
        'Address of the listeners in the pods. `::` is for IPv6 and IPv4, where the pods have IPv6',
    },
    ipFamilyPolicy: {
      enum: ['', 'SingleStack', 'PreferDualStack', 'RequireDualStack'],
      description: "Of all Services; empty: the cluster's default",
    },
    ipFamilies: {
      type: 'array',
      items: { enum: ['IPv4', 'IPv6'] },
      description: "Of all Services, the first one first: `[IPv6, IPv4]`; empty: the cluster's default",
    },
    admin: flag('Opens the admin listener (8081) to other pods, with a Service `…-admin`'),
    gateway: flag('Opens the check (8082, gRPC 8083) to other pods, with a Service `…-gateway`'),
    usage: flag(
      'Opens the listeners of usage reports (OTLP/HTTP, 8085, and OTLP/gRPC, 8087), with a Service `…-usage` (docs/guides/usage.md)',
    ),
  }),
  xds: object('', {
    enabled: flag(
      'Opens the xDS listener (8086), with a Service `…-xds`: Envoys receive the list of revoked tokens (docs/guides/envoy.md)',
    ),
    tokensSecret: text(
      'Name of a Secret whose key `tokens` has the comma-separated tokens of the gateways',
      NAME,
    ),
    tlsSecret: text(
      'Name of a Secret with the keys `tls.crt` and `tls.key`, and `ca.crt` with `clientCertificates`; empty: plain text',
      NAME,
    ),
    clientCertificates: flag('Gateways must show a client certificate of the authority in `ca.crt`'),
  }),
  networkPolicy: object('', {
    enabled: flag(
      'Closes every listener, except to the peers below. Needs a network plugin that enforces it',
    ),
    publicFrom: peers('the public listener (8080): clients, and what fetches the JWKS'),
    gatewayFrom: peers('the check (8082, 8083): your gateways'),
    adminFrom: peers('the admin listener (8081)'),
    opsFrom: peers('the ops listener (8084): Prometheus'),
    xdsFrom: peers('the xDS listener (8086): your Envoys'),
    usageFrom: peers('the listeners of usage reports (8085, 8087): your gateways or collectors'),
  }),
  httpRoute: object('', {
    enabled: flag(
      'Creates an HTTPRoute for all paths of the public listener: tokens, revocation, introspection, the JWKS and discovery',
    ),
    parentRefs: {
      type: 'array',
      description: 'Gateways of the route',
      items: { type: 'object', required: ['name'] },
    },
    hostnames: {
      type: 'array',
      items: { type: 'string' },
      description: 'Host names, that of the issuer among them',
    },
  }),
}

const origins: Schema = {
  type: 'array',
  description: 'Origins of web pages that may call the gateway (CORS), like `https://chat.example.com`',
  items: { type: 'string', pattern: '^https?://[-.:\\[\\]a-z0-9]+$' },
}
const names = (description: string): Schema => ({
  type: 'array',
  description,
  items: { type: 'string', minLength: 1, maxLength: 256, pattern: '^[^"\\\\*\\s]+$' },
})
const port = (description: string) => count(description, 1, 65_535)

/** The files of the chart read no forms. */
const GROUPS = ROUTE_GROUPS.filter(each =>
  ROUTES.some(({ group, model }) => group === each && model !== 'form'),
)

/** What the chart creates at a gateway. */
export const gateways: Record<string, Schema> = {
  routes: {
    type: 'array',
    description: `Groups of the engine's routes that \`istio\` and \`envoyGateway\` open: ${GROUPS.join(', ')}`,
    minItems: 1,
    uniqueItems: true,
    items: { enum: GROUPS },
  },
  istio: object('', {
    enabled: flag(
      'Creates the RequestAuthentication, the policies and the EnvoyFilter of an Istio ingress gateway (docs/guides/istio.md)',
    ),
    mode: {
      enum: ['tokens', 'apiKeys', 'static'],
      description:
        "`tokens`: a token's claims decide. `apiKeys`: API keys too, which Mintmark checks; istiod must know the provider that NOTES.txt shows. `static`: a rule for each name in `istio.static`",
    },
    namespace: text('Namespace of the gateway', { ...NAME, minLength: 1 }),
    selector: labels('Labels of the pods of the gateway'),
    targetRefs: {
      type: 'array',
      description:
        'In place of `selector`: the Gateway (Gateway API) that the policies attach to: `[{group: gateway.networking.k8s.io, kind: Gateway, name: …}]`, in `istio.namespace`',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['group', 'kind', 'name'],
        properties: { group: { type: 'string' }, kind: { type: 'string' }, name: { type: 'string' } },
      },
    },
    origins,
    engine: object('', {
      host: text(
        'Host of the engine, or of the router in front of several, as your routes name it: the gateway closes idle connections to it before vLLM does. Empty: not created',
        NAME,
      ),
      port: port('Its port, with `mode: apiKeys`'),
    }),
    gateways: names('With `mode: apiKeys` and `selector`: the gateways of the VirtualService'),
    hosts: {
      type: 'array',
      items: { type: 'string' },
      description:
        'With `mode: apiKeys`: the hosts of the VirtualService, or of the HTTPRoute with `targetRefs`',
    },
    importedKeys: {
      type: 'string',
      pattern: '^[^"\\\\\\s]*$',
      description:
        'With `mode: apiKeys`: the Lua pattern of keys that were imported from another gateway, as in docs/guides/moving-in.md: `^sk%-[%w_-]+$`. Empty: none',
    },
    static: object('', {
      models: names('With `mode: static`: the models that tokens may name'),
      adapters: names('With `mode: static`: the LoRA adapters that tokens may name'),
    }),
    limits: object('', {
      enabled: flag(
        'Enforces the limits in tokens at the gateway. The rate limit service and its Redis are yours (docs/guides/limits.md)',
      ),
      service: text("Host of the rate limit service's Service; its port 8081 is named grpc", NAME),
    }),
    sync: object('', {
      enabled: flag(
        'Runs `mintmark sync`, which keeps the JWKS in the RequestAuthentication: tokens are accepted while Mintmark is down',
      ),
      replicas: count('Replicas of it; one of them writes', 1, 10),
      intervalSeconds: count('Seconds between two rounds of it', 5, 1_200),
      revocations: object('', {
        enabled: flag(
          'Keeps the list of revoked tokens in an AuthorizationPolicy too; needs `xds.enabled` (docs/guides/istio.md)',
        ),
        tokenSecret: text(
          'Secret with the key `xds-token`: one of the tokens of `xds.tokensSecret`, without its name',
          NAME,
        ),
      }),
    }),
  }),
  envoyGateway: object('', {
    enabled: flag(
      'Creates the routes and policies of a Gateway of Envoy Gateway, for API keys and tokens (docs/guides/envoy-gateway.md)',
    ),
    namespace: text('Namespace of the Gateway; empty: that of the release', NAME),
    gateway: text('Name of the Gateway', { ...NAME, minLength: 1 }),
    engine: object('', {
      name: text('Service of the engine, or of the router in front of several', { ...NAME, minLength: 1 }),
      namespace: text('Its namespace; empty: that of the Gateway', NAME),
      port: port('Its port'),
    }),
    origins,
    limits: object('', {
      enabled: flag(
        'Enforces the limits in tokens. Envoy Gateway needs its rate limit service with a Redis, and the variable of docs/guides/limits.md',
      ),
    }),
  }),
}
