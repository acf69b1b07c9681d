import { chmodSync, chownSync, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ClusterApi, KubernetesObject } from './cluster-api.ts'
import { identityOf, type Mount } from './container.ts'

/** Fills the volumes of a pod below `folder` and returns where each container mounts them. @throws while one does not exist yet */
export async function prepareVolumes(
  api: ClusterApi,
  pod: KubernetesObject,
  folder: string,
): Promise<(container: KubernetesObject) => Mount[]> {
  const { namespace } = pod.metadata
  const group = identityOf(pod).fsGroup
  const places = new Map<string, string>()
  for (const volume of pod.spec.volumes ?? []) {
    const place = join(folder, 'volumes', volume.name)
    places.set(volume.name, await fill(api, pod, volume, place, { namespace, group }))
  }
  return container =>
    (container.volumeMounts ?? []).map(({ name, mountPath, readOnly = false }: KubernetesObject) => ({
      from: places.get(name) as string,
      to: mountPath,
      writable: !readOnly,
    }))
}

async function fill(
  api: ClusterApi,
  pod: KubernetesObject,
  volume: KubernetesObject,
  place: string,
  { namespace, group }: { namespace: string; group: number },
): Promise<string> {
  if (volume.persistentVolumeClaim)
    return claimed(api, namespace, volume.persistentVolumeClaim.claimName, group)
  mkdirSync(place, { recursive: true })
  if (volume.emptyDir) chmodSync(place, 0o777)
  const write = (path: string, content: Buffer | string, mode = 0o644) => {
    const file = join(place, path)
    writeFileSync(file, content)
    chownSync(file, 0, group)
    chmodSync(file, mode)
  }
  const { secret, configMap, projected } = volume
  if (secret) {
    const { data = {} } = await api.get(`/api/v1/namespaces/${namespace}/secrets/${secret.secretName}`)
    for (const { key, path } of secret.items ?? all(data)) {
      if (data[key] === undefined) throw new Error(`the Secret ${secret.secretName} has no ${key}`)
      write(path, Buffer.from(data[key], 'base64'), secret.defaultMode)
    }
  }
  const fillFrom = async (name: string, items: KubernetesObject[] | undefined) => {
    const { data = {} } = await api.get(`/api/v1/namespaces/${namespace}/configmaps/${name}`)
    for (const { key, path } of items ?? all(data)) write(path, data[key])
  }
  if (configMap) await fillFrom(configMap.name, configMap.items)
  for (const source of projected?.sources ?? []) {
    if (source.configMap) await fillFrom(source.configMap.name, source.configMap.items)
    if (source.downwardAPI) write('namespace', namespace)
    if (source.serviceAccountToken)
      write(source.serviceAccountToken.path, await newToken(api, pod, source.serviceAccountToken), 0o640)
  }
  return place
}

async function newToken(
  api: ClusterApi,
  pod: KubernetesObject,
  { expirationSeconds, audience }: KubernetesObject,
): Promise<string> {
  const { namespace, name, uid } = pod.metadata
  const account = `/api/v1/namespaces/${namespace}/serviceaccounts/${pod.spec.serviceAccountName}/token`
  const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name, uid }
  const spec = { expirationSeconds, boundObjectRef, ...(audience && { audiences: [audience] }) }
  const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec }
  return (await api.post(account, request)).status.token
}

/** Replaces the service account tokens in the volumes of a pod, as a kubelet does before they end; `content`: with this instead. */
export async function renewTokens(
  api: ClusterApi,
  pod: KubernetesObject,
  folder: string,
  content?: string,
): Promise<void> {
  for (const { name, projected } of pod.spec.volumes ?? []) {
    for (const { serviceAccountToken } of projected?.sources ?? []) {
      if (!serviceAccountToken) continue
      const file = join(folder, 'volumes', name, serviceAccountToken.path)
      writeFileSync(`${file}.new`, content ?? (await newToken(api, pod, serviceAccountToken)))
      chownSync(`${file}.new`, 0, identityOf(pod).fsGroup)
      chmodSync(`${file}.new`, 0o640)
      renameSync(`${file}.new`, file)
    }
  }
}

const all = (data: object) => Object.keys(data).map(key => ({ key, path: key }))

async function claimed(api: ClusterApi, namespace: string, name: string, group: number): Promise<string> {
  const claim = await api.get(`/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`)
  if (claim.status.phase !== 'Bound') throw new Error(`the claim ${name} is not bound`)
  const volume = await api.get(`/api/v1/persistentvolumes/${claim.spec.volumeName}`)
  const { path } = volume.spec.hostPath
  mkdirSync(path, { recursive: true })
  chownSync(path, 0, group)
  chmodSync(path, 0o2770)
  return path
}
