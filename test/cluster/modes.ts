/** The values that the suite renders, checks and installs. */
export const PRODUCTION = {
  image: { repository: 'registry.example.com/mintmark', tag: 'first' },
  issuer: 'https://tokens.example.com',
  database: { existingSecret: 'mintmark-database' },
  secrets: { existingSecret: 'mintmark-secrets' },
}
const PEERS = [{ namespaceSelector: {} }]
const ISTIO = {
  enabled: true,
  engine: { host: 'vllm.vllm.svc.cluster.local' },
  origins: ['https://chat.example.com'],
}
const TARGET = [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'inference' }]
const MONITORED = {
  serviceMonitor: { enabled: true },
  prometheusRule: { enabled: true },
  dashboard: { enabled: true },
}
const HTTP_ROUTE = { enabled: true, parentRefs: [{ name: 'public' }], hostnames: ['tokens.example.com'] }

/** Nearly everything at once, with the Secrets of suite.ts. */
export const INSTALLED = {
  ...PRODUCTION,
  ...MONITORED,
  database: { existingSecret: 'mintmark-database', directUrlKey: 'direct-url' },
  settings: { MINTMARK_FAILURES_PER_MINUTE: 1_000_000 },
  snapshots: { enabled: true },
  serviceAccount: { apiToken: true },
  services: { usage: true },
  xds: { enabled: true, tokensSecret: 'mintmark-xds' },
  networkPolicy: { adminFrom: PEERS, opsFrom: PEERS, xdsFrom: PEERS, usageFrom: PEERS },
  httpRoute: HTTP_ROUTE,
  istio: { ...ISTIO, sync: { intervalSeconds: 5 } },
}

/** The modes of the chart, by name. */
export const MODES: Record<string, object> = {
  production: PRODUCTION,
  'trial database and generated secrets': {
    image: PRODUCTION.image,
    issuer: PRODUCTION.issuer,
    trialDatabase: { enabled: true },
    secrets: { generate: true },
  },
  closed: {
    ...PRODUCTION,
    services: { admin: false, gateway: false },
    secrets: { existingSecret: 'mintmark-secrets', rootToken: false },
    networkPolicy: { publicFrom: [], gatewayFrom: [] },
  },
  'monitoring, autoscaling, snapshots, HTTPRoute': {
    ...PRODUCTION,
    ...MONITORED,
    autoscaling: { enabled: true },
    snapshots: { enabled: true },
    httpRoute: HTTP_ROUTE,
  },
  'xDS over TLS with client certificates, usage reports': {
    ...PRODUCTION,
    services: { usage: true },
    xds: { enabled: true, tlsSecret: 'mintmark-xds-tls', clientCertificates: true },
    networkPolicy: { xdsFrom: PEERS, usageFrom: PEERS },
  },
  'Istio, tokens': { ...PRODUCTION, istio: ISTIO },
  'Istio, tokens and limits, without sync': {
    ...PRODUCTION,
    istio: { ...ISTIO, limits: { enabled: true }, sync: { enabled: false } },
  },
  'Istio, API keys': { ...PRODUCTION, istio: { ...ISTIO, mode: 'apiKeys' } },
  'Istio, static': {
    ...PRODUCTION,
    istio: { ...ISTIO, mode: 'static', static: { models: ['llama-3-8b'], adapters: ['acme-sql'] } },
  },
  'Istio, a Gateway by targetRefs': {
    ...PRODUCTION,
    istio: { ...ISTIO, namespace: 'gateways', targetRefs: TARGET, limits: { enabled: true } },
  },
  'Istio, API keys, a Gateway by targetRefs': {
    ...PRODUCTION,
    istio: { ...ISTIO, mode: 'apiKeys', namespace: 'gateways', targetRefs: TARGET },
  },
  'Envoy Gateway': { ...PRODUCTION, envoyGateway: { enabled: true, origins: ['https://chat.example.com'] } },
  'Envoy Gateway in another namespace, all groups of routes, limits': {
    ...PRODUCTION,
    routes: ['openai', 'anthropic', 'pooling', 'tokenize'],
    envoyGateway: {
      ...{ enabled: true, namespace: 'gateways', engine: { namespace: 'vllm' }, limits: { enabled: true } },
    },
  },
}

/** One file with a fault of each kind that only the API server knows. */
export const NONSENSE = { ...PRODUCTION, resources: { requests: { cpu: 'much' } } }
