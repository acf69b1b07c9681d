import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileFault } from '../../system/file-fault.ts'
import { parseNetwork } from '../../system/ip-address.ts'
import { type FetchMeans, fetchDocument } from './fetch-document.ts'
import { FetchFault } from './fetch-fault.ts'
import { DISCOVERY, KUBERNETES } from './key-source.ts'

/** The cluster that this process is a pod of. */
export interface OwnCluster {
  /** Of its API server: `https://kubernetes.default.svc`. */
  apiUrl: string
  /** Has the `token` of the pod's service account, and the certificate of the cluster's authority in `ca.crt`. */
  folder: string
}

/** The operator of the cluster named the address, not an administrator of Mintmark: it may be any. */
const ANY = ['0.0.0.0/1', '128.0.0.0/1', '::/1', '8000::/1'].flatMap(text => parseNetwork(text) ?? [])

/**
 * Gets the JWK Set of the cluster that this process is a pod of, with the token of its service account. A kubelet replaces both
 * files while the process runs, so they are read for each fetch.
 * @throws {FetchFault}
 */
export async function fetchOwnCluster(
  cluster: OwnCluster,
  issuer: string,
  means: FetchMeans,
): Promise<unknown> {
  const token = await content(cluster, 'token')
  const caPem = await content(cluster, 'ca.crt')
  const port = Number(URL.parse(cluster.apiUrl)?.port || 443)
  const allowed = ANY.map(network => ({ network, port }))
  const get = (path: string) => fetchDocument({ url: cluster.apiUrl + path, caPem, token, allowed }, means)
  const found = (await get(DISCOVERY)) as { issuer?: unknown } | null
  if (found?.issuer !== issuer)
    throw new FetchFault(
      'document',
      'The API server of this cluster has another issuer. Compare: kubectl get --raw /.well-known/openid-configuration',
    )
  return get(KUBERNETES)
}

async function content({ folder }: OwnCluster, name: string): Promise<string> {
  const file = join(folder, name)
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    throw new FetchFault('cluster', `${file} cannot be read: ${fileFault(error) ?? 'unknown error'}.`)
  }
}
