import { asInKubernetes, count, flag, labels, object, type Schema, text } from './schema.ts'

const identity = (description: string): Schema => ({ type: ['integer', 'null'], minimum: 1, description })

/** What the pods are and where they run. */
export const pods: Record<string, Schema> = {
  serviceAccount: object('', {
    create: flag('Creates a service account. Mintmark uses no Kubernetes API, except with `apiToken`'),
    name: text('Name of the service account; empty: the name of all objects'),
    annotations: labels('Annotations of the service account'),
    apiToken: flag(
      'Mounts its token for the API server, so that identity providers with `in_cluster` can fetch the keys of the cluster (docs/guides/workload-identity.md)',
    ),
  }),
  deploymentAnnotations: labels(
    'Annotations of the Deployment, as for a program that restarts it when a Secret changes',
  ),
  podAnnotations: labels('Annotations of the pods, and of the migration'),
  podLabels: labels('Labels of the pods, and of the migration'),
  podSecurityContext: {
    ...object('Security context of all pods but that of the trial database. Other fields as in Kubernetes', {
      runAsUser: identity('User; `null` where the cluster sets it (OpenShift)'),
      runAsGroup: identity('Group; `null` where the cluster sets it'),
      fsGroup: identity('Group of the volumes; `null` where the cluster sets it'),
    }),
    additionalProperties: true,
  },
  extraEnv: {
    ...asInKubernetes(
      'array',
      'More environment variables of Mintmark and of the migration, as in a pod: `[{name: NODE_EXTRA_CA_CERTS, value: …}]`. Those of Mintmark are in `settings`',
    ),
    items: { type: 'object', required: ['name'] },
  },
  extraVolumes: asInKubernetes(
    'array',
    "More volumes of Mintmark's pods and of the migration, as for the authority of a database (docs/guides/postgres.md)",
  ),
  extraVolumeMounts: asInKubernetes('array', 'Where Mintmark and the migration mount them'),
  resources: {
    type: 'object',
    description: 'Requests and limits of each pod: docs/guides/sizing.md has the figures',
    propertyNames: { enum: ['requests', 'limits', 'claims'] },
  },
  terminationGracePeriodSeconds: count(
    'Time to end: Mintmark accepts connections for 5 s, longer while they arrive, then finishes what is in flight; all of it ends within this time',
    10,
  ),
  podDisruptionBudget: object('', {
    enabled: flag('Creates a PodDisruptionBudget'),
    maxUnavailable: {
      type: ['integer', 'string'],
      minimum: 0,
      pattern: '^[0-9]{1,3}%$',
      description: 'How many replicas may be evicted at a time',
    },
  }),
  autoscaling: object('', {
    enabled: flag('Creates a HorizontalPodAutoscaler'),
    minReplicas: count('Fewest replicas', 1),
    maxReplicas: count('Most replicas', 1),
    targetCPUUtilizationPercentage: count('Target, as a percentage of the requested CPU', 1, 100),
  }),
  nodeSelector: labels('Node selector of the pods'),
  tolerations: asInKubernetes('array', 'Tolerations of the pods'),
  affinity: asInKubernetes(
    'object',
    'Affinity of the pods. Replicas are spread over zones and nodes without it',
  ),
  topologySpreadConstraints: asInKubernetes(
    'array',
    'Replaces that spreading. Without a `labelSelector` they are for the replicas of this release',
  ),
  priorityClassName: text('Priority class of the pods'),
}
