import { existsSync, readdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const CACHE = process.env.MINTMARK_CACHE ?? join(homedir(), '.cache', 'mintmark')

const folder = (): string => {
  const found = existsSync(CACHE) ? readdirSync(CACHE).filter(name => name.startsWith('cluster-')) : []
  return join(CACHE, found.at(-1) ?? 'cluster-')
}

/** What scripts/install-cluster.sh leaves. */
export const PROGRAMS = {
  apiServer: join(folder(), 'kube-apiserver'),
  controllers: join(folder(), 'kube-controller-manager'),
  scheduler: join(folder(), 'kube-scheduler'),
  etcd: join(folder(), 'etcd/usr/bin/etcd'),
  kubeconform: join(folder(), 'kubeconform'),
  helm: join(CACHE, 'bin/helm'),
  kubectl: join(CACHE, 'bin/kubectl'),
}

/** Definitions of Istio, Gateway API, Envoy Gateway and the Prometheus operator. */
export const DEFINITIONS = join(folder(), 'crds')

/** Why the suite cannot run; undefined when it can. */
export function missingPrograms(): string | undefined {
  const missing = [...Object.values(PROGRAMS), DEFINITIONS].filter(file => !existsSync(file))
  return missing.length > 0
    ? `not installed: ${missing.join(', ')}; run scripts/install-cluster.sh`
    : undefined
}
