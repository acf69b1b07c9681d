import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { KubernetesObject } from '../../src/cli/sync/kubernetes-api.ts'

/** The parts of a resource's path: group and version, namespace, resource, name. */
const PATH = /^\/(?:api|apis\/([^/]+))\/([^/]+)(?:\/namespaces\/([^/]+)(?=\/))?\/([^/]+)(?:\/([^/]+))?$/

/**
 * As much of a Kubernetes API as istiod needs to start (empty lists, quiet watches), and sync to get and write its objects. Objects
 * of Istio are also files in a folder, which istiod reads instead: no rights, no field managers, no definitions.
 */
export class SmallApiServer {
  readonly #objects = new Map<string, KubernetesObject>()
  readonly #folder: string
  #version = 0

  /** `folder`: for istiod's --configDir. */
  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true })
  }

  async start(): Promise<{ url: string; stop: () => void }> {
    const server = createServer((req, res) => void this.#answer(req, res))
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const stop = () => {
      server.close()
      server.closeAllConnections()
    }
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }
  }

  async #answer(req: IncomingMessage, res: ServerResponse): Promise<void> {
    let text = ''
    for await (const chunk of req) text += chunk
    const url = new URL(req.url ?? '/', 'http://api')
    if (req.method === 'GET' && /^(true|1)$/.test(url.searchParams.get('watch') ?? ''))
      return this.#watch(url, res)
    const body = text.startsWith('{') ? JSON.parse(text) : undefined
    const [status, object] = this.#reply(req.method ?? 'GET', url, body, req.headers.accept ?? '')
    res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(object))
  }

  #watch(url: URL, res: ServerResponse): void {
    if (url.searchParams.get('sendInitialEvents') === 'true')
      return void res
        .writeHead(400, { 'content-type': 'application/json' })
        .end(JSON.stringify(failure(400, 'BadRequest')))
    res.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
  }

  #reply(method: string, url: URL, body: KubernetesObject, accept: string): [number, object] {
    const { pathname } = url
    if (pathname === '/version') return [200, VERSION]
    if (pathname === '/api') return [200, { kind: 'APIVersions', versions: ['v1'] }]
    if (pathname === '/apis') return [200, { kind: 'APIGroupList', apiVersion: 'v1', groups: [] }]
    const [match, group = '', version = '', , resource = '', name] = PATH.exec(pathname) ?? []
    const groupVersion = group ? `${group}/${version}` : version
    if (!match) return [200, { kind: 'APIResourceList', apiVersion: 'v1', groupVersion, resources: [] }]
    if (method === 'GET' && name === undefined) return [200, emptyList(resource, groupVersion, accept)]
    return this.#object(method, method === 'POST' ? `${pathname}/${body?.metadata?.name}` : pathname, body)
  }

  #object(method: string, path: string, body: KubernetesObject): [number, object] {
    const found = this.#objects.get(path)
    if (method === 'GET') return found ? [200, found] : [404, failure(404, 'NotFound')]
    if (method === 'DELETE') {
      this.#objects.delete(path)
      rmSync(this.#file(path), { force: true })
      return [200, { kind: 'Status', status: 'Success' }]
    }
    if (!body) return [415, failure(415, 'UnsupportedMediaType')]
    if (method === 'POST' && found) return [409, failure(409, 'AlreadyExists')]
    const { resourceVersion } = body.metadata
    if (resourceVersion !== undefined && resourceVersion !== found?.metadata.resourceVersion)
      return [409, failure(409, 'Conflict')]
    const metadata = { ...found?.metadata, ...body.metadata, resourceVersion: String(++this.#version) }
    const object = { ...body, metadata }
    this.#objects.set(path, object)
    // JSON is YAML.
    if (/\.istio\.io\//.test(path)) replaceFile(this.#file(path), JSON.stringify(body))
    return [found ? 200 : 201, object]
  }

  #file(path: string): string {
    return join(this.#folder, `${path.replaceAll('/', '-')}.yaml`)
  }
}

/** At once: istiod watches the folder, and would read half a file. It reads only names with the ending of YAML. */
function replaceFile(file: string, text: string): void {
  writeFileSync(`${file}.new`, text)
  renameSync(`${file}.new`, file)
}

const VERSION = { major: '1', minor: '37', gitVersion: 'v1.37.2', platform: 'linux/amd64' }

const failure = (code: number, reason: string) => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  code,
  reason,
  message: reason,
})

const KINDS: Record<string, string> = {
  endpointslices: 'EndpointSlice',
  configmaps: 'ConfigMap',
  customresourcedefinitions: 'CustomResourceDefinition',
  mutatingwebhookconfigurations: 'MutatingWebhookConfiguration',
  validatingwebhookconfigurations: 'ValidatingWebhookConfiguration',
  ingresses: 'Ingress',
  ingressclasses: 'IngressClass',
  serviceaccounts: 'ServiceAccount',
}

function emptyList(resource: string, groupVersion: string, accept: string): object {
  const singular = resource.replace(/s$/, '')
  const kind = KINDS[resource] ?? `${singular.charAt(0).toUpperCase()}${singular.slice(1)}`
  const partial = accept.includes('PartialObjectMetadata')
  return {
    kind: partial ? 'PartialObjectMetadataList' : `${kind}List`,
    apiVersion: partial ? 'meta.k8s.io/v1' : groupVersion,
    metadata: { resourceVersion: '1' },
    items: [],
  }
}
