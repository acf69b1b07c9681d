import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { ROUTE_GROUPS, ROUTES, type RouteGroup } from '../../src/gateway/headers.ts'
import { helm, type KubernetesObject, lacksHelm, render } from './helm.ts'

/** What the chart creates at gateways is what is in deploy/istio/ and deploy/envoy-gateway/, whose files run in real gateways. */

const VALUES = {
  image: { repository: 'registry.example.com/mintmark' },
  issuer: 'https://tokens.example.com',
  database: { existingSecret: 'mintmark-database' },
  secrets: { existingSecret: 'mintmark-secrets' },
}
const ISTIO = {
  enabled: true,
  engine: { host: 'vllm.vllm.svc.cluster.local' },
  origins: ['https://chat.example.com'],
  sync: { enabled: false },
}
const STATIC = {
  models: ['llama-3-8b', 'mistralai/Mistral-7B', '/models/Llama-3.1'],
  adapters: ['acme-sql', 'acme-chat', 'globex-sql'],
}

/** The objects in these files, as the chart names them in a namespace `serving`. */
const inFiles = (paths: string[], files: Record<string, string>, renamed: (text: string) => string) =>
  paths.flatMap(path => {
    const text = files[path]
    if (text === undefined) throw new Error(`there is no ${path}`)
    return parseAllDocuments(text).map(document => JSON.parse(renamed(JSON.stringify(document.toJS()))))
  })

const istioFile = (name: string) => `deploy/istio/${name}.yaml`
const inIstio = (text: string) =>
  text
    .replaceAll('mintmark.mintmark.svc.cluster.local:8080', 'mintmark.serving.svc.cluster.local:8080')
    .replaceAll('mintmark.mintmark.svc.cluster.local', 'mintmark-gateway.serving.svc.cluster.local')
    .replaceAll('ratelimit.mintmark.svc', 'ratelimit.mintmark.svc')

const inEnvoyGateway = (text: string) =>
  text
    .replaceAll('"namespace":"inference"', '"namespace":"serving"')
    .replaceAll('mintmark.inference.svc', 'mintmark.serving.svc')
    .replaceAll('{"name":"mintmark","port":8080}', '{"name":"mintmark","namespace":"serving","port":8080}')
    .replaceAll(
      '{"name":"mintmark","port":8082}',
      '{"name":"mintmark-gateway","namespace":"serving","port":8082}',
    )
    .replaceAll('{"name":"vllm","port":8000}', '{"name":"vllm","namespace":"serving","port":8000}')
    .replaceAll(/(?<!"parentRefs":\[\{|"kind":"Gateway",)"name":"inference/g, '"name":"mintmark-inference')

const find = (objects: KubernetesObject[], { kind, metadata }: KubernetesObject) =>
  objects.find(
    object =>
      object.kind === kind &&
      object.metadata.name === metadata.name &&
      object.metadata.namespace === metadata.namespace,
  )

describe.skipIf(lacksHelm())('what the chart creates at a gateway', () => {
  it.each([
    [
      'tokens',
      { ...ISTIO, limits: { enabled: true } },
      [
        'request-authentication',
        'authorization-policy',
        'envoy-filter',
        'destination-rule',
        'limits/envoy-filter',
      ],
    ],
    [
      'apiKeys',
      { ...ISTIO, mode: 'apiKeys' },
      [
        'api-keys/request-authentication',
        'api-keys/virtual-service',
        'api-keys/authorization-policy',
        'api-keys/envoy-filter',
        'authorization-policy',
        'envoy-filter',
      ],
    ],
    [
      'static',
      { ...ISTIO, mode: 'static', static: STATIC },
      ['request-authentication', 'static/authorization-policy', 'static/envoy-filter'],
    ],
  ])('Istio with %s: as in deploy/istio/', (_, istio, names) => {
    const objects = render({ ...VALUES, istio })
    const expected = inFiles(names.map(istioFile), deployFiles(), inIstio)
    for (const object of expected) expect(find(objects, object), object.metadata.name).toEqual(object)
  })

  it('lets imported keys through to the check by their pattern', () => {
    const importedKeys = '^sk%-[%w_-]+$'
    const files = inFiles([istioFile('api-keys/envoy-filter')], deployFiles(), inIstio)
    const objects = render({ ...VALUES, istio: { ...ISTIO, mode: 'apiKeys', importedKeys } })
    for (const object of files) {
      const text = JSON.stringify(object)
      expect(text).toContain('local IMPORTED_KEYS = nil')
      expect(find(objects, object)).toEqual(
        JSON.parse(text.replace('IMPORTED_KEYS = nil', `IMPORTED_KEYS = \\"${importedKeys}\\"`)),
      )
    }
  })

  const LIMITED = ['extension-policy', 'traffic-policies']
  it.each([
    ['without limits', false, LIMITED],
    ['with limits', true, LIMITED.map(name => `limits/${name}`)],
  ])('Envoy Gateway %s: as in deploy/envoy-gateway/', (_, enabled, limited) => {
    const objects = render({
      ...VALUES,
      envoyGateway: { enabled: true, origins: ['https://chat.example.com'], limits: { enabled } },
    })
    const names = ['envoy-proxy', 'routes', 'security-policy', ...limited]
    const expected = inFiles(
      names.map(name => `deploy/envoy-gateway/${name}.yaml`),
      deployFiles(),
      inEnvoyGateway,
    )
    expect(expected.length).toBeGreaterThan(10)
    for (const object of expected) expect(find(objects, object), object.metadata.name).toEqual(object)
  })

  const withoutForms = ROUTE_GROUPS.filter(group => group !== 'audio')
  const groups: RouteGroup[][] = [['openai'], ['pooling', 'tokenize'], withoutForms]
  it.each(groups)('opens the routes of these groups, and no other: %s %s %s %s', (...given) => {
    const open = given.filter(Boolean)
    const files = deployFiles(open)
    const values = { ...VALUES, routes: open, istio: ISTIO, envoyGateway: { enabled: true } }
    const objects = render(values)
    const policies = ['authorization-policy', 'envoy-filter'].map(istioFile)
    for (const object of inFiles(policies, files, inIstio)) expect(find(objects, object)).toEqual(object)
    const posts = ROUTES.filter(({ method }) => method === 'POST')
    const opened = new Set(open)
    for (const route of objects.filter(({ kind }) => kind === 'HTTPRoute')) {
      const rules: KubernetesObject[] = route.spec.rules
      const counts = rules.map(({ matches }) => matches.length)
      for (const count of counts) expect(count, route.metadata.name).toBeLessThanOrEqual(64)
      expect(
        counts.reduce((all, count) => all + count),
        route.metadata.name,
      ).toBeLessThanOrEqual(128)
      if (!['mintmark-inference', 'mintmark-inference-tokens'].includes(route.metadata.name)) continue
      const paths = rules.flatMap(({ matches }) => matches.map((match: KubernetesObject) => match.path.value))
      expect([...new Set(paths)].sort()).toEqual(
        posts
          .filter(({ group }) => opened.has(group))
          .map(({ path }) => path)
          .sort(),
      )
    }
  })

  it('attaches to a Gateway in place of pods with labels', () => {
    const targetRefs = [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'inference' }]
    const istio = { ...ISTIO, namespace: 'gateways', targetRefs, limits: { enabled: true } }
    for (const mode of [{ mode: 'apiKeys' }, { mode: 'static', static: STATIC }]) {
      const objects = render({ ...VALUES, istio: { ...istio, ...mode } })
      const attached = objects.filter(({ kind }) =>
        ['RequestAuthentication', 'AuthorizationPolicy', 'EnvoyFilter'].includes(kind),
      )
      expect(attached.length).toBeGreaterThan(4)
      for (const { kind, metadata, spec } of attached) {
        expect(spec.targetRefs, `${kind} ${metadata.name}`).toEqual(targetRefs)
        expect(metadata.namespace).toBe('gateways')
        expect(spec).not.toHaveProperty('selector')
        expect(spec).not.toHaveProperty('workloadSelector')
      }
    }
  })

  it('lets Envoy Gateway of another namespace name the Services', () => {
    const envoyGateway = {
      enabled: true,
      namespace: 'gateways',
      engine: { name: 'router', namespace: 'vllm' },
    }
    const objects = render({ ...VALUES, envoyGateway })
    const grants = objects.filter(({ kind }) => kind === 'ReferenceGrant')
    expect(
      grants.map(({ metadata, spec }) => [
        metadata.namespace,
        spec.to.map(({ name }: { name: string }) => name),
      ]),
    ).toEqual([
      ['serving', ['mintmark', 'mintmark-gateway']],
      ['vllm', ['router']],
    ])
    for (const { spec } of grants) for (const { namespace } of spec.from) expect(namespace).toBe('gateways')
    const text = JSON.stringify(objects.filter(({ metadata }) => metadata.namespace === 'gateways'))
    expect(text).toContain('{"name":"router","namespace":"vllm","port":8000}')
    expect(text).not.toContain('"cors"')
  })

  it('the notes show the provider of API keys for istiod', () => {
    const { ok, output } = helm(['install', 'mintmark', '--dry-run=client'], {
      ...VALUES,
      istio: { ...ISTIO, mode: 'apiKeys' },
    })
    expect(ok).toBe(true)
    const [, shown = ''] = /among its values, [^\n]*\n\n([\s\S]*?\n)(?! {2})/.exec(output) ?? []
    const file = readFileSync(
      new URL('../../deploy/istio/api-keys/istiod-values.yaml', import.meta.url),
      'utf8',
    )
    expect(parse(shown)).toEqual(JSON.parse(inIstio(JSON.stringify(parse(file)))))
  })

  it('the notes name the EnvoyProxy that the Gateway must refer to', () => {
    const values = { ...VALUES, envoyGateway: { enabled: true, gateway: 'public' } }
    const { output } = helm(['install', 'mintmark', '--dry-run=client'], values)
    const [proxy] = render(values).filter(({ kind }) => kind === 'EnvoyProxy')
    expect(output).toContain('the Gateway public must name')
    expect(output).toContain(`kind: EnvoyProxy, name: ${proxy.metadata.name} }`)
  })

  it.each([
    ['istio.engine.host', { istio: { enabled: true, mode: 'apiKeys' } }],
    ['services.gateway', { istio: { ...ISTIO, mode: 'apiKeys' }, services: { gateway: false } }],
    ['istio.static.models', { istio: { enabled: true, mode: 'static' } }],
    ['istio.limits.service', { istio: { enabled: true, limits: { enabled: true, service: '' } } }],
    ['services.gateway', { envoyGateway: { enabled: true }, services: { gateway: false } }],
    ['xds.tokensSecret', { xds: { enabled: true } }],
    ['xds.tlsSecret', { xds: { enabled: true, clientCertificates: true } }],
    ['secrets.generate', { secrets: { existingSecret: 'mine', generate: true } }],
    ['trialDatabase.enabled', { trialDatabase: { enabled: true } }],
    ['autoscaling.minReplicas', { autoscaling: { enabled: true, minReplicas: 11 } }],
    ['/routes', { routes: ['openai', 'everything'] }],
    ['/routes', { routes: [] }],
    ['/istio/targetRefs/0', { istio: { targetRefs: [{ kind: 'Gateway', name: 'inference' }] } }],
    ['/istio/static/models/0', { istio: { static: { models: ['*'] } } }],
    ['/istio/importedKeys', { istio: { importedKeys: 'a" or true' } }],
    ['/istio/importedKeys', { istio: { importedKeys: 'a\\' } }],
    ['/istio/mode', { istio: { mode: 'keys' } }],
  ])('rejects values that need another one, by name: %s', (name, values) => {
    const { ok, output } = helm(['template', 'mintmark'], { ...VALUES, ...values })
    expect(ok).toBe(false)
    expect(output).toContain(name)
  })
})
