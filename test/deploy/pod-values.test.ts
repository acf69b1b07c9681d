import { describe, expect, it } from 'vitest'
import { INSTALLED, PRODUCTION } from '../cluster/modes.ts'
import { helm, type KubernetesObject, lacksHelm, render } from './helm.ts'

/** Values that operators of other charts expect: who the pods are, where they run, and what else they have. */

const named = (objects: KubernetesObject[], kind: string) => objects.filter(object => object.kind === kind)
const SYNC = { ...PRODUCTION, istio: { enabled: true } }
/** Of the service, of sync and of the migration. */
const podsOf = (values: object): KubernetesObject[] => {
  const objects = render({ ...SYNC, ...values })
  return [...named(objects, 'Deployment'), ...named(objects, 'Job')].map(({ spec }) => spec.template.spec)
}
const [EXTRA_MOUNT, EXTRA_ENV] = [
  { name: 'ca', mountPath: '/etc/ca', readOnly: true },
  { name: 'NODE_EXTRA_CA_CERTS', value: '/etc/ca/ca.crt' },
]
const EXTRA = {
  extraVolumes: [{ name: 'ca', configMap: { name: 'ca' } }],
  extraVolumeMounts: [EXTRA_MOUNT],
  extraEnv: [EXTRA_ENV],
}

/** The places in the objects whose value is not of the type that it has elsewhere. */
function otherTypes(value: unknown, other: unknown, path = ''): string[] {
  if (typeof value !== typeof other) return [path]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, each]) =>
    otherTypes(each, (other as Record<string, unknown>)[key], `${path}/${key}`),
  )
}

describe.skipIf(lacksHelm())('the pods of the chart', () => {
  it('a release, a namespace and Secrets that look like numbers are text', () => {
    const names = (name: string) => ({
      ...INSTALLED,
      ...{ fullnameOverride: 'mintmark', envoyGateway: { enabled: true, namespace: name } },
      database: { existingSecret: name },
      secrets: { existingSecret: name },
      serviceAccount: { create: false, name },
      snapshots: { enabled: true, existingClaim: name },
      xds: { enabled: true, tokensSecret: name, tlsSecret: name },
      istio: { ...INSTALLED.istio, namespace: name },
      priorityClassName: name,
    })
    const found = render(names('2024'), '2024', '2024')
    expect(otherTypes(render(names('letters'), 'letters', 'letters'), found)).toEqual([])
    expect(found.map(({ metadata }) => metadata.namespace)).toContain('2024')
  })

  it('names and labels have at most 63 characters, that of the trial database 52, whatever the release is called', () => {
    const longest = `m${'0123456789'.repeat(6)}ab`
    const overrides = { nameOverride: longest, fullnameOverride: longest }
    const trial = { trialDatabase: { enabled: true }, database: {}, secrets: { generate: true } }
    for (const values of [
      { ...INSTALLED, ...overrides },
      { ...SYNC, ...overrides, ...trial },
    ]) {
      const objects = render(values, longest.slice(0, 53))
      const labels = objects.flatMap(({ metadata, spec }) => [
        ...Object.values<string>(metadata.labels ?? {}),
        ...Object.values<string>(spec?.template?.metadata?.labels ?? {}),
      ])
      // Names of custom resources may be longer.
      const built = objects.filter(
        ({ apiVersion }) => !/istio|envoyproxy|gateway\.networking/.test(apiVersion),
      )
      const names = built.map(({ metadata }) => metadata.name)
      expect([...names, ...labels].filter(text => text.length > 63)).toEqual([])
      for (const { metadata } of named(objects, 'StatefulSet')) expect(metadata.name.length).toBeLessThan(53)
    }
  })

  it('run where the values say, all of them', () => {
    const placement = {
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ key: 'serving', operator: 'Exists' }],
      affinity: { podAntiAffinity: {} },
      priorityClassName: 'high',
    }
    const pods = podsOf(placement)
    expect(pods).toHaveLength(3)
    for (const pod of pods) expect(pod).toMatchObject(placement)
  })

  it('have user 1000, or none where the cluster gives them one', () => {
    const fixed = { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } }
    for (const { securityContext } of podsOf({}))
      expect(securityContext).toEqual({ ...fixed, runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000 })
    const podSecurityContext = { runAsUser: null, runAsGroup: null, fsGroup: null, supplementalGroups: [7] }
    for (const { securityContext } of podsOf({ podSecurityContext }))
      expect(securityContext).toEqual({ ...fixed, supplementalGroups: [7] })
  })

  it('the service and the migration have more volumes and variables; with a trial database the migration of each pod too', () => {
    const [service, , job] = podsOf(EXTRA)
    const trial = { trialDatabase: { enabled: true }, database: { existingSecret: '' } }
    const [withTrial] = podsOf({ ...EXTRA, ...trial })
    for (const { volumes } of [service, job, withTrial]) expect(volumes).toContainEqual(EXTRA.extraVolumes[0])
    for (const [container] of [
      service.containers,
      job.containers,
      withTrial.containers,
      withTrial.initContainers,
    ]) {
      expect(container.volumeMounts).toContainEqual(EXTRA_MOUNT)
      expect(container.env).toContainEqual(EXTRA_ENV)
    }
  })

  it('are spread over zones and nodes, or as the values say', () => {
    const labelSelector = {
      matchLabels: { 'app.kubernetes.io/name': 'mintmark', 'app.kubernetes.io/instance': 'mintmark' },
    }
    const [{ topologySpreadConstraints: spread }] = podsOf({}) as [KubernetesObject]
    expect(spread.map(({ topologyKey }: KubernetesObject) => topologyKey)).toEqual([
      'topology.kubernetes.io/zone',
      'kubernetes.io/hostname',
    ])
    for (const each of spread) expect(each.labelSelector).toEqual(labelSelector)
    const own = { maxSkew: 2, topologyKey: 'rack', whenUnsatisfiable: 'DoNotSchedule' }
    const whole = { ...own, labelSelector: { matchLabels: { team: 'serving' } } }
    const [{ topologySpreadConstraints: found }] = podsOf({ topologySpreadConstraints: [own, whole] }) as [
      KubernetesObject,
    ]
    expect(found).toEqual([{ ...own, labelSelector }, whole])
  })

  it('the migration has a service account that exists before the release, or none', () => {
    const accountOf = (values: object) => podsOf(values)[2].serviceAccountName
    expect(accountOf({})).toBeUndefined()
    expect(accountOf({ serviceAccount: { name: 'made-by-the-chart' } })).toBeUndefined()
    expect(accountOf({ serviceAccount: { create: false, name: 'own' } })).toBe('own')
    expect(accountOf({ migration: { serviceAccountName: 'owner' } })).toBe('owner')
  })

  it('listen to IPv6 where the values say, on every listener, and Services have its family', () => {
    const services = { host: '::', usage: true, ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'] }
    const values = { ...SYNC, services, xds: { enabled: true, tokensSecret: 'xds' } }
    const hosts = (objects: KubernetesObject[]) =>
      named(objects, 'Deployment').flatMap(({ spec }) => {
        const [{ env = [], args }] = spec.template.spec.containers
        const ofEnv = env.flatMap(({ name, value }: KubernetesObject) => (/_HOST$/.test(name) ? value : []))
        return [...ofEnv, ...args.flatMap((arg: string) => /^--host=(.*)/.exec(arg)?.[1] ?? [])]
      })
    expect(hosts(render(values))).toEqual(Array(5).fill('::'))
    for (const { spec } of named(render(values), 'Service'))
      expect(spec).toMatchObject({ ipFamilyPolicy: 'SingleStack', ipFamilies: ['IPv6'] })
    expect(hosts(render(SYNC))).toEqual(['0.0.0.0'])
    for (const { spec } of named(render(SYNC), 'Service')) expect(spec).not.toHaveProperty('ipFamilies')
  })

  it('every object has the common labels, those of gateways apart; the selectors do not', () => {
    const objects = render({ ...INSTALLED, commonLabels: { team: 'serving' } })
    const own = objects.filter(({ apiVersion }) => !/istio\.io/.test(apiVersion))
    expect(own.length).toBeGreaterThan(15)
    expect(own.filter(({ metadata }) => metadata.labels?.team !== 'serving').map(({ kind }) => kind)).toEqual(
      [
        // A hook, in which helm deletes what has its name.
      ],
    )
    for (const { spec } of named(objects, 'Deployment'))
      expect(spec.selector.matchLabels).not.toHaveProperty('team')
  })

  it.each([
    ['commonLabels', { 'app.kubernetes.io/name': 'other' }],
    ['podLabels', { 'app.kubernetes.io/instance': 'other' }],
    ['podLabels', { team: 'serving' }],
    ['extraEnv', [{ name: 'MINTMARK_ISSUER', value: 'https://other.example.com' }]],
    ['fullnameOverride', '1st'],
    ['podSecurityContext', { runAsUser: 0 }],
  ])('%s: what would break the release is rejected by name', (name, value) => {
    const { ok, output } = helm(['template', 'mintmark'], {
      ...{ ...PRODUCTION, commonLabels: { team: 'research' } },
      [name]: value,
    })
    expect(ok).toBe(false)
    expect(output).toContain(name)
  })

  it('values that an earlier release did not have may be absent (helm upgrade --reuse-values)', () => {
    const absent = Object.fromEntries(
      ['commonLabels', 'deploymentAnnotations', 'podSecurityContext', 'topologySpreadConstraints']
        .concat('extraEnv', 'extraVolumes', 'extraVolumeMounts')
        .map(name => [name, null]),
    )
    const services = { host: null, ipFamilyPolicy: null, ipFamilies: null }
    expect(render({ ...SYNC, ...absent, services, migration: { serviceAccountName: null } })).toEqual(
      render(SYNC),
    )
  })
})
