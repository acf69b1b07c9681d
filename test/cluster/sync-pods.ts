import { until } from '../support/until.ts'
import { type Cluster, WAIT_MS } from './cluster.ts'
import type { KubernetesObject } from './cluster-api.ts'
import type { Pod } from './pod.ts'

/** Name of the chart's `mintmark sync`. */
export const SYNC = 'mintmark-sync'

/** 1: it has the Lease. */
export const leads = (pod: Pod) => metric(pod, 'mintmark_sync_leading')

/** The value of one series of sync; 0: none, or no answer. */
export async function metric({ address }: Pod, series: string): Promise<number> {
  const answer = await fetch(`http://${address}:8085/metrics`).catch(() => undefined)
  const line = (await answer?.text())?.split('\n').find(each => each.startsWith(`${series} `))
  return Number(line?.split(' ').at(-1) ?? 0)
}

/** Whether the RequestAuthentication has the keys that Mintmark publishes. */
export async function hasPublishedKeys(cluster: Cluster): Promise<boolean> {
  const url = (await cluster.tokenUrl()).replace('/oauth/token', '/.well-known/jwks.json')
  const { keys } = (await (await fetch(url)).json()) as JsonWebKeySet
  const written = JSON.parse((await cluster.jwks()) ?? '{"keys":[]}') as JsonWebKeySet
  return kids(keys) === kids(written.keys)
}

/** Revokes the standby key: the JWKS changes. */
export async function changeJwks(cluster: Cluster): Promise<void> {
  const find = async (): Promise<KubernetesObject> =>
    (await cluster.admin('GET', '/signing-keys')).data.find(
      ({ state }: { state: string }) => state === 'standby',
    )
  const standby = await until<KubernetesObject>('a standby key', find, Boolean, WAIT_MS)
  await cluster.admin('POST', `/signing-keys/${standby.kid}/revoke`, { reason: 'suite' })
}

interface JsonWebKeySet {
  keys: { kid: string }[]
}

const kids = (keys: JsonWebKeySet['keys']) =>
  keys
    .map(({ kid }) => kid)
    .toSorted()
    .join()
