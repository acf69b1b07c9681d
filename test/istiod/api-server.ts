import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { KubernetesApi, type KubernetesObject } from '../../src/cli/sync/kubernetes-api.ts'
import { SmallApiServer } from './small-api-server.ts'

/** How long a program may take to start on a busy machine. */
export const PATIENCE_MS = 120_000

export interface ApiServer {
  admin: KubernetesApi
  kubeconfig: string
  /** Applies an object. */
  apply(object: KubernetesObject): Promise<KubernetesObject>
  /** For istiod: where its configuration is. */
  istiodOptions: readonly string[]
}

/** The small API server, which has no rights, no field managers and no definitions. */
export async function startApiServer(
  folder: string,
  onEnd: (end: () => unknown) => void,
): Promise<ApiServer> {
  const configDir = join(folder, 'config')
  const { url, stop } = await new SmallApiServer(configDir).start()
  onEnd(stop)
  const token = async () => undefined
  const access = { server: url, origin: 'the suite', namespace: 'default', tls: {}, token }
  const admin = new KubernetesApi(access)
  const kubeconfig = join(folder, 'kubeconfig')
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'suite', cluster: { server: url } }],
    users: [{ name: 'admin', user: {} }],
    contexts: [{ name: 'suite', context: { cluster: 'suite', user: 'admin', namespace: 'mintmark' } }],
    'current-context': 'suite',
  }
  // JSON is YAML.
  writeFileSync(kubeconfig, JSON.stringify(config))
  return {
    admin,
    kubeconfig,
    apply: object => admin.call('PATCH', pathOf(object), object),
    istiodOptions: [`--configDir=${configDir}`],
  }
}

/** The objects of a file with several documents. */
export const objectsIn = (text: string): KubernetesObject[] =>
  parseAllDocuments(text)
    .map(document => document.toJS())
    .filter(Boolean)

const PLURALS: Record<string, string> = {
  AuthorizationPolicy: 'authorizationpolicies',
  ServiceEntry: 'serviceentries',
}

const pathOf = ({ apiVersion, kind, metadata }: KubernetesObject): string =>
  `/apis/${apiVersion}/namespaces/${metadata.namespace}/${PLURALS[kind] ?? `${kind.toLowerCase()}s`}/${metadata.name}`
