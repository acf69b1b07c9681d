import type { Env } from './env.ts'

/** The cluster whose service accounts a provider with `in_cluster` accepts. */
export interface ClusterConfig {
  cluster: { apiUrl: string; folder: string }
}

export const readCluster = (env: Env): ClusterConfig => ({
  cluster: {
    apiUrl: env.text('MINTMARK_KUBERNETES_API', {
      default: 'https://kubernetes.default.svc',
      description: 'API server from which the keys of identity providers with `in_cluster` are fetched',
      parse: origin,
    }),
    folder: env.text('MINTMARK_SERVICE_ACCOUNT_DIR', {
      default: '/var/run/secrets/kubernetes.io/serviceaccount',
      description:
        'folder with `token` and `ca.crt` for `MINTMARK_KUBERNETES_API`; they are read again for each fetch',
    }),
  },
})

function origin(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol !== 'https:' || (text !== url.origin && text !== `${url.origin}:443`))
    throw new Error('must be https:// with a name or address, and a port where it is not 443')
  return url.origin
}
