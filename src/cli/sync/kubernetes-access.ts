import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { fileFault } from '../../system/file-fault.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import type { KubernetesAccess } from './kubernetes-api.ts'
import { SyncFault } from './sync-fault.ts'

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'

/** A pod's own access, by its service account. @throws {CliError} outside a pod */
export async function podAccess(
  environment: NodeJS.ProcessEnv,
  folder = SERVICE_ACCOUNT,
): Promise<KubernetesAccess> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment
  if (!host)
    throw usage('not in a pod: KUBERNETES_SERVICE_HOST is unset. Use --kubeconfig outside a cluster.')
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    origin: `the service account in ${folder}`,
    namespace: (await text(`${folder}/namespace`)).trim(),
    tls: { ca: await text(`${folder}/ca.crt`) },
    token: tokenIn(`${folder}/token`),
  }
}

type Json = Record<string, unknown>

/**
 * The access that a kubeconfig describes: a token, a file with one, or a client certificate.
 * @throws {CliError} for what is not supported (programs, basic authentication, proxies), by name
 */
export async function kubeconfigAccess(file: string, contextName?: string): Promise<KubernetesAccess> {
  const config = parsed(file, await text(file))
  const name = contextName ?? config['current-context']
  const context = named(config.contexts, name, 'context', file)
  const cluster = named(config.clusters, context.cluster, 'cluster', file)
  const user = named(config.users, context.user, 'user', file)
  refuseUnsupported(file, cluster, user)
  const { server } = cluster
  if (typeof server !== 'string' || !/^https?:$/.test(URL.parse(server)?.protocol ?? ''))
    throw usage(`${file}: the cluster "${context.cluster}" has no server URL.`)
  const content = (from: Json, field: string) => contentOf(from, field, dirname(file))
  const ca = await content(cluster, 'certificate-authority')
  const cert = await content(user, 'client-certificate')
  const key = await content(user, 'client-key')
  return {
    server: server.replace(/\/+$/, ''),
    origin: file,
    namespace: typeof context.namespace === 'string' ? context.namespace : 'default',
    tls: {
      ...(ca && { ca }),
      ...(cert && { cert }),
      ...(key && { key }),
      ...(typeof cluster['tls-server-name'] === 'string' && { servername: cluster['tls-server-name'] }),
      ...(cluster['insecure-skip-tls-verify'] === true && { rejectUnauthorized: false }),
    },
    token:
      typeof user.tokenFile === 'string'
        ? tokenIn(resolve(dirname(file), user.tokenFile))
        : async () => (typeof user.token === 'string' ? user.token : undefined),
  }
}

const UNSUPPORTED_OF_USER = ['exec', 'auth-provider', 'username', 'password', 'as', 'as-groups', 'as-uid']

function refuseUnsupported(file: string, cluster: Json, user: Json): void {
  const found = [
    ...UNSUPPORTED_OF_USER.filter(field => user[field] !== undefined),
    ...(cluster['proxy-url'] === undefined ? [] : ['proxy-url']),
  ]
  if (found.length > 0)
    throw usage(
      `${file} uses ${found.join(', ')}, which is not supported. Use a token, tokenFile or a client certificate: ` +
        '"kubectl create token" issues a token.',
    )
}

/** The entry of a list of the kubeconfig, by its name. */
function named(list: unknown, name: unknown, kind: string, file: string): Json {
  const entry = (Array.isArray(list) ? (list as Json[]) : []).find(each => each?.name === name)
  const value = entry?.[kind]
  if (typeof value !== 'object' || value === null) throw usage(`${file} has no ${kind} "${name ?? ''}".`)
  return value as Json
}

/** `field` names a file; `field-data` has its content in base64. */
async function contentOf(from: Json, field: string, folder: string): Promise<string | undefined> {
  const data = from[`${field}-data`]
  if (typeof data === 'string') return Buffer.from(data, 'base64').toString()
  const path = from[field]
  return typeof path === 'string' ? text(resolve(folder, path)) : undefined
}

const tokenIn = (file: string) => async () => {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    throw new SyncFault('api_forbidden', `${file} cannot be read: ${why(error)}.`)
  }
}

function parsed(file: string, content: string): Json {
  try {
    const config = parse(content)
    if (typeof config === 'object' && config !== null) return config
  } catch {
    // The parser's message may repeat a credential.
  }
  throw usage(`${file} is not a kubeconfig.`)
}

async function text(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw usage(`${file} cannot be read: ${why(error)}.`)
  }
}

const why = (error: unknown) => fileFault(error) ?? (error as Error).message
const usage = (message: string) => new CliError(EXIT.usage, message)
