import type { VariableDescription } from '../../../src/config/env.ts'
import { gateways, network } from './network-values.ts'
import { pods } from './pod-values.ts'
import {
  asInKubernetes,
  count,
  flag,
  labels,
  NAME,
  object,
  type Schema,
  SECRET_KEY,
  SERVICE_NAME,
  STORAGE,
  text,
} from './schema.ts'

/** Variables that the chart sets from other values, or that a pod cannot use. */
const SET_BY_CHART = new Set([
  'NODE_ENV',
  'DATABASE_URL',
  'DATABASE_URL_DIRECT',
  'MIGRATE_DATABASE_URL',
  'MINTMARK_DATA_DIR',
  'MINTMARK_KEYS_DIR',
  'MINTMARK_SNAPSHOT_DIR',
  'MINTMARK_SERVICE_ACCOUNT_DIR',
  'MINTMARK_ISSUER',
  'MINTMARK_ROOT_TOKEN',
  'MINTMARK_ENCRYPTION_KEYS',
  'MINTMARK_PEPPERS',
  'MINTMARK_PUBLIC_PORT',
  'MINTMARK_ADMIN_PORT',
  'MINTMARK_OPS_PORT',
  'MINTMARK_GATEWAY_PORT',
  'MINTMARK_GATEWAY_GRPC_PORT',
  'MINTMARK_OTLP_HOST',
  'MINTMARK_OTLP_GRPC_PORT',
  'MINTMARK_OTLP_HTTP_PORT',
  'MINTMARK_XDS_HOST',
  'MINTMARK_XDS_PORT',
  'MINTMARK_XDS_TOKENS',
  'MINTMARK_XDS_TLS_CERTIFICATE',
  'MINTMARK_XDS_TLS_KEY',
  'MINTMARK_XDS_CLIENT_CA',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_HEADERS',
])

const setting = ({ description, fallback, range, choices }: VariableDescription): Schema => ({
  description: `${description}. Default: ${fallback.replaceAll('`', '')}`,
  ...(range ? { type: 'integer', ...range } : choices ? { enum: [...choices] } : { type: 'string' }),
})

/** @param variables the environment variables that Mintmark reads */
export function valuesSchema(variables: readonly VariableDescription[]): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Values of the Mintmark chart',
    type: 'object',
    additionalProperties: false,
    required: ['image', 'issuer', 'database', 'secrets'],
    properties: {
      global: { type: 'object' },
      ...installation(variables),
      ...pods,
      ...network,
      ...gateways,
      ...observability,
    },
    allOf: [
      {
        if: { properties: { trialDatabase: { properties: { enabled: { const: false } } } } },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { properties: { database: { properties: { existingSecret: { minLength: 1 } } } } },
      },
      {
        if: { properties: { secrets: { properties: { generate: { const: false } } } } },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { properties: { secrets: { properties: { existingSecret: { minLength: 1 } } } } },
      },
      {
        if: { properties: { httpRoute: { properties: { enabled: { const: true } } } } },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { properties: { httpRoute: { properties: { parentRefs: { minItems: 1 } } } } },
      },
    ],
  }
}

const installation = (variables: readonly VariableDescription[]): Record<string, Schema> => ({
  image: {
    ...object('', {
      repository: text('**Required.** The image that the release workflow pushed', { minLength: 1 }),
      tag: text("Tag; empty: `v` and the chart's appVersion"),
      digest: text('Digest, in place of the tag', { pattern: '^(sha256:[0-9a-f]{64})?$' }),
      pullPolicy: { enum: ['Always', 'IfNotPresent', 'Never'], description: "Kubernetes' pull policy" },
      pullSecrets: asInKubernetes('array', 'Secrets with credentials of the registry: `[{name: …}]`'),
    }),
    required: ['repository'],
  },
  nameOverride: text("Replaces the chart's name in labels and names; 50 characters of it", SERVICE_NAME),
  fullnameOverride: text('Replaces the whole name of all objects; 50 characters of it', SERVICE_NAME),
  commonLabels: labels('Labels of all objects and pods, except the routes and policies of gateways'),
  issuer: text('**Required.** `iss` of every token, byte for byte', {
    pattern: '^https://[-.:\\[\\]a-zA-Z0-9]+(/[^\\s"#?]*[^\\s"#?/])?$',
    maxLength: 200,
  }),
  replicas: count('Number of replicas; ignored with autoscaling', 1),
  database: object('', {
    existingSecret: text(
      '**Required**, except with the trial database: name of a Secret with the URLs',
      NAME,
    ),
    urlKey: text('Its key with the URL of the application role', SECRET_KEY),
    directUrlKey: text(
      'Its key with the URL of Postgres itself, if the first one uses a pooler; empty: the first one',
      {
        pattern: '^[-._a-zA-Z0-9]*$',
      },
    ),
    migrateUrlKey: text('Its key with the URL of the owner role, for migrations', SECRET_KEY),
  }),
  migration: object('', {
    enabled: flag('Migrates the database before an installation and before an upgrade, in a Job'),
    timeoutSeconds: count('The Job fails after this time', 1),
    serviceAccountName: text(
      "An existing service account for the Job, as `DATABASE_PASSWORD_COMMAND` may need; empty: that of `serviceAccount.name` if the chart does not create it, else the namespace's default",
      NAME,
    ),
  }),
  secrets: object('', {
    existingSecret: text(
      '**Required**, except with `generate`: name of a Secret with the keys `peppers`, `encryption-keys` and `root-token`',
      NAME,
    ),
    generate: flag(
      'Generates that Secret once, and keeps it through upgrades and an uninstall. Not with tools that render without a cluster (Argo CD): they would generate new secrets each time',
    ),
    rootToken: flag('Mintmark accepts the root token. Set it to false once there is an owner token'),
  }),
  settings: object(
    'Environment variables of Mintmark (docs/configuration.md)',
    Object.fromEntries(
      variables
        .filter(({ name }) => !SET_BY_CHART.has(name))
        .map(variable => [variable.name, setting(variable)]),
    ),
  ),
  snapshots: object('', {
    enabled: flag(
      'Keeps sealed snapshots on a volume that all replicas share: they start and serve while Postgres is down, and refuse what a restore of the database brings back (docs/guides/postgres-outage.md)',
    ),
    existingClaim: text(
      'Name of a PersistentVolumeClaim; empty: the chart creates one, and keeps it through an uninstall',
      NAME,
    ),
    accessMode: {
      enum: ['ReadWriteMany', 'ReadWriteOnce'],
      description:
        'Access mode of that claim. ReadWriteOnce only where all replicas run on one node: others would not start',
    },
    storageClassName: text('Its storage class; empty: the default one of the cluster'),
    storage: text('Its size: 15 MB for 100,000 API keys and replica, with room for twice as many', STORAGE),
  }),
  trialDatabase: object('', {
    enabled: flag('One Postgres without backup, to try Mintmark. Never for production'),
    image: text('Image of Postgres 18', { minLength: 1 }),
    storage: text('Size of its volume', STORAGE),
  }),
})

const observability: Record<string, Schema> = {
  serviceMonitor: object('', {
    enabled: flag('Creates a ServiceMonitor for the Prometheus operator'),
    interval: text('Interval of the scrape', { pattern: '^[0-9]+(s|m)$' }),
    labels: labels('Labels by which your Prometheus selects it'),
  }),
  prometheusRule: object('', {
    enabled: flag('Creates a PrometheusRule with the alerts of deploy/observability'),
    labels: labels('Labels by which your Prometheus selects it'),
  }),
  traces: object('', {
    endpoint: text(
      'Base URL of an OpenTelemetry collector (OTLP/HTTP), such as `http://collector.observability:4318`; empty: no traces',
      { pattern: '^(https?://[^\\s"@]+)?$' },
    ),
    headersSecret: text(
      'Name of a Secret whose key `headers` has the headers for the collector: `name=value`, comma-separated',
      NAME,
    ),
  }),
  dashboard: object('', {
    enabled: flag('Creates a ConfigMap with the Grafana dashboards of deploy/observability'),
    labels: labels("Labels by which Grafana's sidecar selects it"),
  }),
}
