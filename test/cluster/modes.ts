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

/** Of a Service. */
const LONGEST = `m${'0123456789'.repeat(6)}ab`

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

/** Istio in each of its modes, by selector and by targetRefs, without limits and with them. */
const ISTIO_MODES = (['tokens', 'apiKeys', 'static'] as const).flatMap(mode =>
  [false, true].flatMap(byTarget =>
    [false, true].map((limits): [string, object] => [
      `Istio, ${mode}, by ${byTarget ? 'targetRefs' : 'selector'}${limits ? ', limits' : ''}`,
      {
        ...PRODUCTION,
        istio: {
          ...{ ...ISTIO, mode, limits: { enabled: limits } },
          ...(byTarget && { namespace: 'gateways', targetRefs: TARGET }),
          ...(mode === 'static' && { static: { models: ['llama-3-8b'], adapters: ['acme-sql'] } }),
        },
      },
    ]),
  ),
)

/** A database in the chart needs an image of Postgres: this one is applied, and not installed. */
export const WITH_TRIAL_DATABASE = 'trial database and generated secrets'

/** The modes of the chart, by name: each value of its README has another one than its default in one of them. */
export const MODES: Record<string, object> = {
  production: PRODUCTION,
  [WITH_TRIAL_DATABASE]: {
    image: PRODUCTION.image,
    issuer: PRODUCTION.issuer,
    trialDatabase: { enabled: true, image: 'registry.example.com/postgres:18', storage: '2Gi' },
    secrets: { generate: true },
  },
  closed: {
    ...PRODUCTION,
    services: { admin: false, gateway: false },
    secrets: { existingSecret: 'mintmark-secrets', rootToken: false },
    networkPolicy: { publicFrom: [], gatewayFrom: [] },
  },
  'monitoring, traces, autoscaling, snapshots, HTTPRoute': {
    ...PRODUCTION,
    serviceMonitor: { enabled: true, interval: '30s', labels: { release: 'prometheus' } },
    prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
    dashboard: { enabled: true, labels: { grafana_dashboard: 'mintmark' } },
    traces: { endpoint: 'http://127.0.0.1:4318', headersSecret: 'mintmark-traces' },
    autoscaling: { enabled: true, minReplicas: 1, maxReplicas: 3, targetCPUUtilizationPercentage: 60 },
    snapshots: { enabled: true },
    httpRoute: HTTP_ROUTE,
  },
  'xDS with tokens': { ...PRODUCTION, xds: { enabled: true, tokensSecret: 'mintmark-xds' } },
  'xDS over TLS with client certificates, usage reports': {
    ...PRODUCTION,
    services: { usage: true },
    xds: { enabled: true, tlsSecret: 'mintmark-xds-tls', clientCertificates: true },
    networkPolicy: { adminFrom: PEERS, opsFrom: PEERS, xdsFrom: PEERS, usageFrom: PEERS },
  },
  ...Object.fromEntries(ISTIO_MODES),
  'Istio, tokens, without sync': { ...PRODUCTION, istio: { ...ISTIO, sync: { enabled: false } } },
  'Istio, tokens, sync of revocations over TLS': {
    ...PRODUCTION,
    xds: { enabled: true, tokensSecret: 'mintmark-xds', tlsSecret: 'mintmark-xds-tls' },
    istio: {
      ...ISTIO,
      sync: {
        ...{ replicas: 1, intervalSeconds: 10 },
        revocations: { enabled: true, tokenSecret: 'mintmark-sync' },
      },
    },
  },
  "Istio, API keys, an operator's own names": {
    ...PRODUCTION,
    istio: {
      ...{
        ...ISTIO,
        mode: 'apiKeys',
        selector: { istio: 'own' },
        gateways: ['own'],
        importedKeys: '^sk%-[%w_-]+$',
      },
      ...{ hosts: ['inference.example.com'], engine: { host: 'router.vllm.svc.cluster.local', port: 9000 } },
      limits: { enabled: true, service: 'ratelimit.limits.svc.cluster.local' },
    },
  },
  'Envoy Gateway': { ...PRODUCTION, envoyGateway: { enabled: true, origins: ['https://chat.example.com'] } },
  'Envoy Gateway in another namespace, all groups of routes, limits': {
    ...PRODUCTION,
    routes: ['openai', 'anthropic', 'pooling', 'tokenize'],
    envoyGateway: {
      ...{ enabled: true, namespace: 'gateways', gateway: 'own', limits: { enabled: true } },
      engine: { name: 'router', namespace: 'vllm', port: 9000 },
    },
  },
  'Istio and Envoy Gateway beside each other': {
    ...PRODUCTION,
    istio: ISTIO,
    envoyGateway: { enabled: true, namespace: 'gateways' },
  },
  "a cluster's own rules": {
    ...{ nameOverride: 'tokens', fullnameOverride: 'tokens', issuer: PRODUCTION.issuer, replicas: 3 },
    image: {
      repository: 'registry.example.com/mintmark',
      ...{ digest: `sha256:${'0'.repeat(64)}`, pullPolicy: 'Always', pullSecrets: [{ name: 'registry' }] },
    },
    database: {
      existingSecret: 'own-database',
      ...{ urlKey: 'app', directUrlKey: 'direct', migrateUrlKey: 'owner' },
    },
    migration: { timeoutSeconds: 300, serviceAccountName: 'existing' },
    commonLabels: { team: 'serving' },
    deploymentAnnotations: { team: 'serving' },
    secrets: { existingSecret: 'mintmark-secrets' },
    settings: { LOG_LEVEL: 'debug' },
    snapshots: {
      ...{ enabled: true, accessMode: 'ReadWriteOnce', storageClassName: 'own', storage: '2Gi' },
    },
    services: {
      annotations: { 'service.kubernetes.io/topology-mode': 'Auto' },
      ...{ host: '::', ipFamilyPolicy: 'PreferDualStack', ipFamilies: ['IPv4'] },
    },
    serviceAccount: { name: 'own', annotations: { team: 'serving' }, apiToken: true },
    podAnnotations: { team: 'serving' },
    podLabels: { gateway: 'none' },
    // As where the cluster gives the pods a user and groups.
    podSecurityContext: { runAsUser: null, runAsGroup: null, fsGroup: null },
    extraEnv: [
      { name: 'NODE_EXTRA_CA_CERTS', value: '/etc/authorities/ca.crt' },
      { name: 'TEAM', valueFrom: { fieldRef: { fieldPath: 'metadata.namespace' } } },
    ],
    extraVolumes: [{ name: 'authorities', configMap: { name: 'kube-root-ca.crt' } }],
    extraVolumeMounts: [{ name: 'authorities', mountPath: '/etc/authorities', readOnly: true }],
    topologySpreadConstraints: [
      { maxSkew: 1, topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway' },
    ],
    resources: { requests: { cpu: '500m', memory: '512Mi' }, limits: { memory: '1Gi' } },
    terminationGracePeriodSeconds: 60,
    podDisruptionBudget: { maxUnavailable: '50%' },
    nodeSelector: { 'kubernetes.io/hostname': 'node-1' },
    tolerations: [{ key: 'serving', operator: 'Exists' }],
    affinity: {
      nodeAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 1,
            preference: { matchExpressions: [{ key: 'topology.kubernetes.io/zone', operator: 'Exists' }] },
          },
        ],
      },
    },
    priorityClassName: 'system-cluster-critical',
  },
  'the longest names, one replica': {
    ...PRODUCTION,
    ...MONITORED,
    ...{ nameOverride: LONGEST, fullnameOverride: LONGEST, replicas: 1 },
    snapshots: { enabled: true },
    services: { usage: true },
    xds: { enabled: true, tokensSecret: 'mintmark-xds' },
    httpRoute: HTTP_ROUTE,
    istio: {
      ...{ ...ISTIO, mode: 'apiKeys', limits: { enabled: true } },
      sync: { revocations: { enabled: true, tokenSecret: 'mintmark-sync' } },
    },
    envoyGateway: { enabled: true, namespace: 'gateways' },
  },
  'an existing claim and service account, no migration, no budget, no policy': {
    ...PRODUCTION,
    snapshots: { enabled: true, existingClaim: 'own-snapshots' },
    serviceAccount: { create: false, name: 'existing' },
    migration: { enabled: false },
    podDisruptionBudget: { enabled: false },
    networkPolicy: { enabled: false },
  },
}

/** Each `shards`th of them. */
export const shardOf = <T>(all: readonly T[], [shard, shards]: readonly [number, number]): T[] =>
  all.filter((_, index) => index % shards === shard - 1)

/** One file with a fault of each kind that only the API server knows. */
export const NONSENSE = { ...PRODUCTION, resources: { requests: { cpu: 'much' } } }
