import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { readConfig } from '../../src/config/config.ts'
import { Env } from '../../src/config/env.ts'
import { PATHS } from '../../src/oauth/metadata.ts'
import { makeAuthority } from '../support/certificates.ts'
import { childEnvironment } from '../support/child-environment.ts'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { until } from '../support/until.ts'
import { helm, type KubernetesObject, lacksHelm, render } from './helm.ts'

/** The chart, rendered by Helm. What its pods would run is run as processes, with their arguments, environment and probes. */

const SCHEMA = JSON.parse(
  readFileSync(new URL('../../deploy/helm/mintmark/values.schema.json', import.meta.url), 'utf8'),
)
const PRODUCTION = {
  image: { repository: 'registry.example.com/mintmark' },
  issuer: 'https://tokens.example.com',
  database: { existingSecret: 'mintmark-database' },
  secrets: { existingSecret: 'mintmark-secrets' },
}
const TRIAL = {
  image: PRODUCTION.image,
  issuer: PRODUCTION.issuer,
  trialDatabase: { enabled: true },
  secrets: { generate: true },
}
const PEERS = [{ namespaceSelector: {} }]
const EVERYTHING = {
  ...PRODUCTION,
  database: { existingSecret: 'mintmark-database', directUrlKey: 'direct-url' },
  settings: { MINTMARK_FAILURES_PER_MINUTE: 1_000_000, MINTMARK_TRUSTED_PROXIES: '10.0.0.0/8' },
  snapshots: { enabled: true },
  autoscaling: { enabled: true },
  services: { usage: true },
  xds: { enabled: true, tokensSecret: 'mintmark-xds', tlsSecret: 'mintmark-xds-tls' },
  networkPolicy: { adminFrom: PEERS, opsFrom: PEERS, xdsFrom: PEERS, usageFrom: PEERS },
  httpRoute: { enabled: true, parentRefs: [{ name: 'public' }], hostnames: ['tokens.example.com'] },
  serviceMonitor: { enabled: true },
  prometheusRule: { enabled: true },
  traces: { endpoint: 'http://127.0.0.1:1', headersSecret: 'mintmark-traces' },
  dashboard: { enabled: true },
  istio: {
    enabled: true,
    origins: ['https://chat.example.org', 'http://localhost:3000'],
    sync: { revocations: { enabled: true, tokenSecret: 'mintmark-sync' } },
  },
}
const CLOSED = {
  ...PRODUCTION,
  services: { admin: false, gateway: false },
  secrets: { existingSecret: 's', rootToken: false },
}

const named = (objects: KubernetesObject[], kind: string) => {
  const found = objects.filter(object => object.kind === kind)
  if (found.length === 0) throw new Error(`no ${kind} among ${objects.map(object => object.kind)}`)
  return found
}
const podsOf = (objects: KubernetesObject[]) =>
  objects.flatMap(object => (object.kind === 'Pod' ? [object.spec] : (object.spec?.template?.spec ?? [])))

describe.skipIf(lacksHelm())('the chart', () => {
  it.each(Object.entries({ PRODUCTION, TRIAL, EVERYTHING, CLOSED }))('passes lint: %s', (_, values) => {
    const { ok, output } = helm(['lint', '--strict'], values)
    expect(output).not.toMatch(/WARNING|ERROR/)
    expect(ok).toBe(true)
  })

  it.each(Object.entries({ PRODUCTION, TRIAL, EVERYTHING, CLOSED }))(
    'each object has a name of its own, the namespace of the release, and the labels: %s',
    (_, values) => {
      const objects = render(values)
      const names = objects.map(({ kind, metadata }) => `${kind}/${metadata.namespace}/${metadata.name}`)
      expect(new Set(names).size).toBe(names.length)
      const istio = ['RequestAuthentication', 'AuthorizationPolicy', 'EnvoyFilter']
      for (const { kind, metadata } of objects) {
        if (isRightAtGateway(kind, metadata)) continue
        expect(metadata.namespace, kind).toBe(istio.includes(kind) ? 'istio-system' : 'serving')
        if (!istio.includes(kind)) expect(metadata.labels['app.kubernetes.io/instance']).toBe('mintmark')
      }
    },
  )

  it.each(Object.entries({ PRODUCTION, TRIAL, EVERYTHING }))(
    'pods meet the restricted Pod Security Standard, and get no variables of Services: %s',
    (_, values) => {
      const pods = podsOf(render(values))
      expect(pods.length).toBeGreaterThan(1)
      for (const pod of pods) {
        expect(pod.securityContext).toMatchObject({
          runAsNonRoot: true,
          seccompProfile: { type: 'RuntimeDefault' },
        })
        // Only sync calls the API server.
        const automountServiceAccountToken = pod.containers[0].name === 'sync'
        expect(pod).toMatchObject({ automountServiceAccountToken, enableServiceLinks: false })
        for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
          expect(container.securityContext).toEqual({
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          })
        }
      }
    },
  )

  it.each([
    ['/image/repository', { ...PRODUCTION, image: { repository: '' } }],
    ['/issuer', { ...PRODUCTION, issuer: 'http://tokens.example.com' }],
    ['/issuer', { ...PRODUCTION, issuer: 'https://tokens.example.com/' }],
    ['/database/existingSecret', { ...PRODUCTION, database: {} }],
    ['/secrets/existingSecret', { ...PRODUCTION, secrets: {} }],
    ['replica', { ...PRODUCTION, replica: 3 }],
    ['/replicas', { ...PRODUCTION, replicas: 'three' }],
    ['MINTMARK_TOKEN_TTL', { ...PRODUCTION, settings: { MINTMARK_TOKEN_TTL: 60 } }],
    ['MINTMARK_TOKEN_TTL_SECONDS', { ...PRODUCTION, settings: { MINTMARK_TOKEN_TTL_SECONDS: 59 } }],
    ['MINTMARK_PEPPERS', { ...PRODUCTION, settings: { MINTMARK_PEPPERS: 'p1:secret' } }],
    ['/settings/LOG_LEVEL', { ...PRODUCTION, settings: { LOG_LEVEL: 'loud' } }],
    ['/istio/origins/0', { ...PRODUCTION, istio: { origins: ['*'] } }],
    ['/httpRoute/parentRefs', { ...PRODUCTION, httpRoute: { enabled: true } }],
  ])('rejects a wrong value by name: %s', (name, values) => {
    const { ok, output } = helm(['template', 'mintmark'], values)
    expect(ok).toBe(false)
    expect(output).toContain(name)
  })

  it('a values file with each field wrong is rejected, and each field is named', () => {
    const fields: string[] = []
    const wrong = (schema: KubernetesObject, path: string): unknown => {
      if (schema.properties) {
        const entries = Object.entries(schema.properties as Record<string, KubernetesObject>)
        return Object.fromEntries(entries.map(([name, each]) => [name, wrong(each, `${path}/${name}`)]))
      }
      fields.push(path)
      return schema.type === 'array' ? { wrong: true } : [1]
    }
    // Helm itself sets "global".
    const { global: _, ...properties } = SCHEMA.properties
    const { ok, output } = helm(['template', 'mintmark'], wrong({ properties }, '') as object)
    expect(ok).toBe(false)
    expect(fields.length).toBeGreaterThan(60)
    expect(fields.filter(path => !output.includes(`'${path}'`))).toEqual([])
  })

  it('the script of the Istio gateway has the origins of the values, by default none', () => {
    const [listed] = named(render(EVERYTHING), 'EnvoyFilter')
    for (const origin of EVERYTHING.istio.origins)
      expect(JSON.stringify(listed)).toContain(JSON.stringify(`["${origin}"] = true`).slice(1, -1))
    const [none] = named(render({ ...PRODUCTION, istio: { enabled: true } }), 'EnvoyFilter')
    expect(JSON.stringify(none)).toContain(String.raw`local ORIGINS = {\n}`)
  })

  it('the rules of the RequestAuthentication are in the file of sync, and where sync is off in the object', () => {
    const objects = render(EVERYTHING)
    const [object] = named(objects, 'RequestAuthentication')
    const config = named(objects, 'ConfigMap').find(({ metadata }) => metadata.name === 'mintmark-sync')
    const file = parse(config.data['request-authentication.yaml'])
    expect(object.spec).toEqual({ selector: { matchLabels: { istio: 'ingressgateway' } } })
    expect(Object.keys(file.spec)).toEqual(['jwtRules'])
    expect(file.metadata).toEqual(object.metadata)
    const off = { ...EVERYTHING, istio: { ...EVERYTHING.istio, sync: { enabled: false } } }
    const [whole] = named(render(off), 'RequestAuthentication')
    expect(whole.spec).toEqual({ ...object.spec, ...file.spec })
    expect(named(render(off), 'Deployment')).toHaveLength(1)
  })

  it('sync gets the list of revoked tokens with its own token, over TLS where the listener has it', () => {
    const [, sync] = named(render(EVERYTHING), 'Deployment')
    const [{ args, env }] = podsOf([sync])[0].containers
    expect(args).toContain('--xds=https://mintmark-xds.serving.svc.cluster.local:8086')
    expect(args).toContain('--xds-ca=/etc/mintmark/xds-ca/ca.crt')
    expect(env).toEqual([{ name: 'MINTMARK_XDS_TOKEN_FILE', value: '/etc/mintmark/xds-token/xds-token' }])
    const plain = { ...EVERYTHING, xds: { enabled: true, tokensSecret: 'mintmark-xds' } }
    const [, over] = named(render(plain), 'Deployment')
    expect(podsOf([over])[0].containers[0].args).toContain(
      '--xds=http://mintmark-xds.serving.svc.cluster.local:8086',
    )
  })

  it('sync may get and patch its two objects, and get and update one Lease', () => {
    const rules = named(render(EVERYTHING), 'Role').flatMap(({ rules }) => rules)
    expect(rules).toEqual([
      {
        apiGroups: ['security.istio.io'],
        resources: ['requestauthentications'],
        resourceNames: ['mintmark'],
        verbs: ['get', 'patch'],
      },
      {
        apiGroups: ['security.istio.io'],
        resources: ['authorizationpolicies'],
        resourceNames: ['mintmark-revocations'],
        verbs: ['get', 'patch'],
      },
      {
        apiGroups: ['coordination.k8s.io'],
        resources: ['leases'],
        resourceNames: ['mintmark-sync'],
        verbs: ['get', 'update'],
      },
    ])
  })

  it('mounts a token for the API server, and the authority of the cluster, only where in_cluster needs them', () => {
    const mounted = (values: object) => {
      const pods = podsOf(render(values)).filter(({ containers }) => containers[0].name === 'mintmark')
      return pods.map(({ volumes, containers, automountServiceAccountToken }) => ({
        automountServiceAccountToken,
        sources: volumes.flatMap(({ projected }: KubernetesObject) => projected?.sources ?? []),
        mounts: containers[0].volumeMounts.flatMap(({ name, mountPath }: KubernetesObject) =>
          name === 'service-account' ? mountPath : [],
        ),
      }))
    }
    const without = { automountServiceAccountToken: false, sources: [], mounts: [] }
    expect(mounted(PRODUCTION)).toEqual([without])
    expect(mounted({ ...PRODUCTION, serviceAccount: { apiToken: true } })).toEqual([
      {
        automountServiceAccountToken: false,
        sources: [
          { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
          { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        ],
        mounts: ['/var/run/secrets/kubernetes.io/serviceaccount'],
      },
    ])
  })

  it('replicas share one volume for snapshots, which is kept, or one that exists', () => {
    const objects = render(EVERYTHING)
    const [claim] = named(objects, 'PersistentVolumeClaim')
    expect(claim.spec.accessModes).toEqual(['ReadWriteMany'])
    expect(claim.metadata.annotations['helm.sh/resource-policy']).toBe('keep')
    const [pod] = podsOf(named(objects, 'Deployment').filter(({ metadata }) => metadata.name === 'mintmark'))
    const [container] = pod.containers
    const mount = container.volumeMounts.find(({ name }: { name: string }) => name === 'snapshots')
    expect(environmentOf(container).MINTMARK_SNAPSHOT_DIR).toMatch(new RegExp(`^${mount.mountPath}/`))
    const volume = pod.volumes.find(({ name }: { name: string }) => name === 'snapshots')
    expect(volume.persistentVolumeClaim.claimName).toBe(claim.metadata.name)
    const own = render({ ...EVERYTHING, snapshots: { enabled: true, existingClaim: 'mine' } })
    expect(own.some(({ kind }) => kind === 'PersistentVolumeClaim')).toBe(false)
    expect(JSON.stringify(own)).toContain('{"claimName":"mine"}')
    expect(JSON.stringify(render(PRODUCTION))).not.toContain('MINTMARK_SNAPSHOT_DIR')
  })

  it('a NetworkPolicy opens the public listener and the check by default, and nothing that no list names', () => {
    const ports = (values: object, name = 'mintmark') => {
      const policy = named(render(values), 'NetworkPolicy').find(({ metadata }) => metadata.name === name)
      return policy.spec.ingress.map((rule: KubernetesObject) =>
        rule.ports.map((each: { port: number }) => each.port),
      )
    }
    const forTests = [8080]
    expect(ports(PRODUCTION)).toEqual([forTests, [8080], [8082, 8083]])
    const closed = { publicFrom: [], gatewayFrom: [] }
    expect(ports({ ...PRODUCTION, networkPolicy: closed })).toEqual([forTests])
    expect(ports(EVERYTHING)).toEqual([forTests, [8080], [8082, 8083], [8081], [8084], [8085, 8087], [8086]])
    expect(ports(TRIAL, 'mintmark-trial-database')).toEqual([[5432]])
    expect(
      render({ ...PRODUCTION, networkPolicy: { enabled: false } }).map(({ kind }) => kind),
    ).not.toContain('NetworkPolicy')
  })

  it('neither the migration nor helm test gets a sidecar, which would keep it from ending', () => {
    const objects = render({
      ...PRODUCTION,
      podLabels: { 'sidecar.istio.io/inject': 'true', team: 'serving' },
    })
    const labelsOf = (kind: string) => {
      const [object] = named(objects, kind)
      return (object.spec.template ?? object).metadata.labels
    }
    expect(labelsOf('Job')).toMatchObject({ 'sidecar.istio.io/inject': 'false', team: 'serving' })
    expect(labelsOf('Pod')['sidecar.istio.io/inject']).toBe('false')
    expect(labelsOf('Deployment')['sidecar.istio.io/inject']).toBe('true')
  })

  it('the pod of helm test is not selected by Services, nor by the disruption budget', () => {
    const objects = render(PRODUCTION)
    const [test] = named(objects, 'Pod')
    const selectors = objects.flatMap(
      ({ spec }) => spec?.selector?.matchLabels ?? (spec?.type === 'ClusterIP' ? spec.selector : []),
    )
    expect(selectors.length).toBeGreaterThan(4)
    for (const selector of selectors) expect(test.metadata.labels).not.toMatchObject(selector)
  })

  it.each(['https://tokens.example.com', 'https://example.com/tokens'])(
    'the HTTPRoute has every path of the public listener: %s',
    issuer => {
      const [route] = named(render({ ...EVERYTHING, issuer }), 'HTTPRoute')
      const matches: KubernetesObject[] = route.spec.rules[0].matches
      const base = new URL(issuer).pathname.replace(/\/$/, '')
      const isRouted = (path: string) =>
        matches.some(({ path: { type, value } }) =>
          type === 'Exact' ? value === path : path === value || path.startsWith(`${value}/`),
        )
      const paths = Object.values(PATHS).map(path =>
        path === PATHS.oauth ? `${path}${base}` : `${base}${path}`,
      )
      expect(paths.length).toBeGreaterThan(6)
      expect(paths.filter(path => !isRouted(path))).toEqual([])
      expect(isRouted(`${base}/admin/v1/tenants`)).toBe(false)
    },
  )

  it('opens no listener that has no Service', () => {
    const objects = render(CLOSED)
    expect(named(objects, 'Service').map(({ metadata }) => metadata.name)).toEqual([
      'mintmark',
      'mintmark-ops',
    ])
    const [deployment] = named(objects, 'Deployment')
    const env = environmentOf(deployment.spec.template.spec.containers[0])
    expect(env).toMatchObject({ MINTMARK_GATEWAY_HOST: '127.0.0.1' })
    expect(env).not.toHaveProperty('MINTMARK_ADMIN_HOST')
    expect(env).not.toHaveProperty('MINTMARK_ROOT_TOKEN_FILE')
  })
})

/** What lets sync write into the namespace of the gateway. */
const isRightAtGateway = (kind: string, { name, namespace }: KubernetesObject) =>
  ['Role', 'RoleBinding'].includes(kind) && name === 'mintmark-sync' && namespace === 'istio-system'

const environmentOf = (container: KubernetesObject): Record<string, string> =>
  Object.fromEntries(container.env.map(({ name, value }: { name: string; value: string }) => [name, value]))

/** The directory that stands for the file system of a container, and its volumes from these Secrets. */
function mounted(pod: KubernetesObject, secrets: Record<string, Record<string, string>>) {
  const root = mkdtempSync(join(tmpdir(), 'mintmark-pod-'))
  for (const { name, mountPath } of pod.containers[0].volumeMounts) {
    const { secret } = pod.volumes.find((volume: { name: string }) => volume.name === name)
    mkdirSync(join(root, mountPath), { recursive: true })
    // A claim is an empty folder.
    for (const { key, path } of secret?.items ?? []) {
      const value = secrets[secret.secretName]?.[key]
      if (value === undefined) throw new Error(`the Secret ${secret.secretName} has no ${key}`)
      writeFileSync(join(root, mountPath, path), value)
    }
  }
  return root
}

describe.skipIf(lacksHelm())('what its pods run', () => {
  const objects = () => render(EVERYTHING)
  const random = () => randomBytes(32).toString('base64url')
  const roots: string[] = []
  let database: TestDatabase | undefined
  let replica: ServiceProcess | undefined

  afterAll(async () => {
    await replica?.kill()
    await database?.drop()
    for (const root of roots) rmSync(root, { recursive: true })
  })

  /** As in the image (Dockerfile), with the paths of the volumes below `root`, and any free ports. */
  const run = (container: KubernetesObject, root: string) => {
    const inImage = { NODE_ENV: 'production', MINTMARK_HOST: '0.0.0.0' }
    const env = Object.entries({ ...inImage, ...environmentOf(container) }).map(([name, value]) => [
      name,
      /_(FILE|DIR)$/.test(name) ? join(root, value) : value,
    ])
    return {
      args: ['src/cli/main.ts', ...container.args],
      env: Object.fromEntries(env) as Record<string, string>,
    }
  }

  it('the Job migrates, replicas become ready by their probes, and helm test passes', async () => {
    database = await createTestDatabase({ empty: true })
    const xds = makeAuthority('mintmark-xds')
    const secrets = {
      'mintmark-database': {
        'database-url': database.applicationUrl,
        'direct-url': database.applicationUrl,
        'migrate-database-url': database.ownerUrl,
      },
      'mintmark-secrets': {
        peppers: `p1:${random()}`,
        'encryption-keys': `e1:${random()}`,
        'root-token': random(),
      },
      'mintmark-xds': { tokens: random() },
      'mintmark-traces': { headers: `authorization=${random()}` },
      'mintmark-xds-tls': { 'tls.crt': xds.certificate, 'tls.key': xds.key },
    }
    const rendered = objects()
    const [job] = named(rendered, 'Job')
    const [deployment] = named(rendered, 'Deployment')
    const [test] = named(rendered, 'Pod')

    const migration = job.spec.template.spec
    roots.push(mounted(migration, secrets))
    const { args, env } = run(migration.containers[0], roots[0] as string)
    const migrated = spawnSync(process.execPath, args, { env: childEnvironment(env), encoding: 'utf8' })
    expect(migrated.stderr + migrated.stdout).toContain('Applied 0001_initial')
    expect(migrated.status).toBe(0)

    const pod = deployment.spec.template.spec
    const [container] = pod.containers
    roots.push(mounted(pod, secrets))
    const replicaRun = run(container, roots[1] as string)
    // Every variable is one that Mintmark reads, and none has a fault.
    const parsed = new Env(replicaRun.env)
    readConfig(parsed)
    expect(parsed.unknown()).toEqual([])

    const anyPort = Object.fromEntries(
      ['PUBLIC', 'ADMIN', 'GATEWAY', 'GATEWAY_GRPC', 'OPS', 'OTLP_HTTP', 'XDS'].map(name => [
        `MINTMARK_${name}_PORT`,
        '0',
      ]),
    )
    replica = startProcess({ ...replicaRun.env, ...anyPort }, ...replicaRun.args)
    const urls = await replica.ready(30_000)
    const listeners = {
      'http-public': urls.public,
      'http-admin': urls.admin,
      'http-gateway': urls.gateway,
      'http-ops': urls.ops,
    }
    for (const probe of [container.startupProbe, container.readinessProbe, container.livenessProbe]) {
      const { port, path } = probe.httpGet as { port: keyof typeof listeners; path: string }
      expect((await fetch(reachable(listeners[port]) + path)).status, path).toBe(200)
    }
    expect(container.ports.map(({ containerPort }: { containerPort: number }) => containerPort)).toEqual([
      8080, 8081, 8082, 8083, 8084, 8085, 8087, 8086,
    ])

    const { MINTMARK_SNAPSHOT_DIR: snapshots = '' } = replicaRun.env
    const written = () => readdirSync(snapshots).some(name => name.endsWith('.snapshot'))
    await until('a snapshot is on the volume', written, Boolean, 30_000)

    const [tester] = test.spec.containers
    const tested = spawnSync(process.execPath, [...tester.command.slice(1), ...tester.args], {
      env: childEnvironment({ ...environmentOf(tester), MINTMARK_URL: reachable(urls.public) }),
      encoding: 'utf8',
    })
    expect(tested.stderr).toBe('')
    expect(tested.status).toBe(0)
    expect(environmentOf(tester).MINTMARK_URL).toBe('http://mintmark:8080')
  })
})

const reachable = (url: string) => url.replace('0.0.0.0', '127.0.0.1').replace(/\/$/, '')
