import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { KubernetesApi, type KubernetesObject } from '../../src/cli/sync/kubernetes-api.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { PROGRAMS, type Program, startProgram } from './programs.ts'
import { SmallApiServer } from './small-api-server.ts'

/** How long a program may take to start on a busy machine. */
export const PATIENCE_MS = 120_000

export interface ApiServer {
  /** As its administrator. */
  admin: KubernetesApi
  kubeconfig: string
  /** A kubeconfig of a service account, with a token that the API server issued. */
  kubeconfigOf(namespace: string, account: string): Promise<string>
  /** Applies an object by server-side apply. `manager` is its field manager. */
  apply(object: KubernetesObject, manager?: string): Promise<KubernetesObject>
  /** For istiod: where its configuration is. */
  istiodOptions: readonly string[]
  /** What a real API server has; undefined for the small one. */
  real:
    | {
        url: string
        program: Program
        certificateKubeconfig: string
        podFolder: (namespace: string, account: string) => Promise<PodFolder>
      }
    | undefined
}

/** A folder as pods have it, of a service account; the token is another text until `write` is called. */
export interface PodFolder {
  path: string
  write: () => void
}

/** The small API server: without rights, field managers and definitions. */
export async function startSmallApiServer(
  folder: string,
  onEnd: (end: () => unknown) => void,
): Promise<ApiServer> {
  const configDir = join(folder, 'config')
  const { url, stop } = await new SmallApiServer(configDir).start()
  onEnd(stop)
  const admin = new KubernetesApi({
    server: url,
    origin: 'the suite',
    namespace: 'default',
    tls: {},
    token: async () => undefined,
  })
  const kubeconfig = writeKubeconfig(folder, 'admin', { server: url }, {})
  return {
    admin,
    kubeconfig,
    kubeconfigOf: async () => kubeconfig,
    apply: object => admin.call('PATCH', pathOf(object), object),
    istiodOptions: [`--configDir=${configDir}`],
    real: undefined,
  }
}

/** etcd and kube-apiserver with Istio's definitions, on free ports. */
export async function startApiServer(
  folder: string,
  onEnd: (end: () => unknown) => void,
): Promise<ApiServer> {
  const [clients, peers, port] = [await freePort(), await freePort(), await freePort()]
  const etcd = startProgram(folder, PROGRAMS.etcd, [
    ...['--data-dir', join(folder, 'etcd'), '--log-level', 'error'],
    ...['--listen-client-urls', `http://127.0.0.1:${clients}`],
    ...['--advertise-client-urls', `http://127.0.0.1:${clients}`],
    ...['--listen-peer-urls', `http://127.0.0.1:${peers}`],
  ])
  onEnd(() => etcd.stop())
  const { token, accountKeys } = writeCredentials(folder)
  const program = startProgram(folder, PROGRAMS.apiServer, [
    `--etcd-servers=http://127.0.0.1:${clients}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${folder}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    `--client-ca-file=${join(folder, 'clients.crt')}`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
    `--service-account-signing-key-file=${accountKeys.private}`,
    `--service-account-key-file=${accountKeys.public}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--disable-admission-plugins=ServiceAccount',
    '--endpoint-reconciler-type=none',
  ])
  onEnd(() => program.stop())
  const url = `https://127.0.0.1:${port}`
  // It writes its certificate, with its authority, into --cert-dir.
  const authority = join(folder, 'apiserver.crt')
  const access = (credential: string) => ({
    server: url,
    origin: 'the suite',
    namespace: 'default',
    tls: { ca: readFileSync(authority) },
    token: async () => credential,
  })
  const api = await until(
    'the API server is ready',
    async () => {
      const candidate = new KubernetesApi(access(token))
      await candidate.call('GET', '/api/v1/namespaces/kube-system')
      return candidate
    },
    Boolean,
    PATIENCE_MS,
  )
  const issueToken = async (namespace: string, account: string): Promise<string> => {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`
    const spec = { expirationSeconds: 3_600 }
    const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec }
    return (await api.call('POST', path, request)).status.token
  }
  const cluster = { server: url, 'certificate-authority': authority }
  const kubeconfig = (name: string, user: object) => writeKubeconfig(folder, name, cluster, user)
  await createDefinitions(api)
  return {
    admin: api,
    kubeconfig: kubeconfig('admin', { token }),
    apply: (object, manager = 'suite') =>
      api.call('PATCH', `${pathOf(object)}?fieldManager=${manager}&force=true`, object),
    kubeconfigOf: async (namespace, account) =>
      kubeconfig(`account-${account}`, { token: await issueToken(namespace, account) }),
    istiodOptions: [],
    real: {
      url,
      program,
      certificateKubeconfig: kubeconfig('certificate', {
        'client-certificate': 'client.crt',
        'client-key': 'client.key',
      }),
      podFolder: async (namespace, account) => {
        const path = join(folder, `pod-${account}`)
        mkdirSync(path, { recursive: true })
        writeFileSync(join(path, 'namespace'), namespace)
        writeFileSync(join(path, 'ca.crt'), readFileSync(authority))
        writeFileSync(join(path, 'token'), 'expired')
        const issued = await issueToken(namespace, account)
        return { path, write: () => writeFileSync(join(path, 'token'), `${issued}\n`) }
      },
    },
  }
}

function writeKubeconfig(folder: string, name: string, cluster: object, user: object): string {
  const file = join(folder, `kubeconfig-${name}`)
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'suite', cluster }],
    users: [{ name, user }],
    contexts: [{ name: 'suite', context: { cluster: 'suite', user: name, namespace: 'mintmark' } }],
    'current-context': 'suite',
  }
  // JSON is YAML.
  writeFileSync(file, JSON.stringify(config))
  return file
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

export function pathOf({ apiVersion, kind, metadata }: KubernetesObject): string {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const place = metadata.namespace ? `/namespaces/${metadata.namespace}` : ''
  return `${group}${place}/${PLURALS[kind] ?? `${kind.toLowerCase()}s`}/${metadata.name}`
}

async function createDefinitions(api: KubernetesApi): Promise<void> {
  const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  const definitions = objectsIn(readFileSync(PROGRAMS.definitions, 'utf8'))
  await Promise.all(definitions.map(definition => api.call('POST', path, definition)))
  await until(
    'the definitions are established',
    async () => (await api.call('GET', path)).items,
    items =>
      items.length === definitions.length &&
      items.every(({ status }: KubernetesObject) =>
        status?.conditions?.some(
          (each: KubernetesObject) => each.type === 'Established' && each.status === 'True',
        ),
      ),
    PATIENCE_MS,
  )
}

/** An authority for client certificates, and one of the administrator. */
function writeCertificates(folder: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  const key = ['-newkey', 'rsa:2048', '-nodes']
  openssl('req', '-x509', ...key, '-keyout', 'clients.key', '-out', 'clients.crt', '-subj', '/CN=clients')
  const subject = ['-subj', '/O=system:masters/CN=admin']
  openssl('req', ...key, '-keyout', 'client.key', '-out', 'client.csr', ...subject)
  const authority = ['-CA', 'clients.crt', '-CAkey', 'clients.key', '-CAcreateserial']
  openssl('x509', '-req', '-in', 'client.csr', ...authority, '-out', 'client.crt', '-days', '1')
}

function writeCredentials(folder: string) {
  writeCertificates(folder)
  const token = randomBytes(24).toString('hex')
  writeFileSync(join(folder, 'tokens.csv'), `${token},admin,admin,"system:masters"\n`)
  const { privateKey, publicKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const accountKeys = { private: join(folder, 'accounts.key'), public: join(folder, 'accounts.pub') }
  writeFileSync(accountKeys.private, privateKey)
  writeFileSync(accountKeys.public, publicKey)
  return { token, accountKeys }
}
