import { join } from 'node:path'
import { makeAuthority, makeCertificate } from '../support/certificates.ts'
import { until } from '../support/until.ts'
import { type Cluster, NAMESPACE, WAIT_MS } from './cluster.ts'
import { MODES, shardOf, WITH_TRIAL_DATABASE } from './modes.ts'
import { CHART, note, reported, type Setting, since, WAITING } from './setting.ts'

/** A real installation of every mode: the hook migrates, all pods become ready, helm test passes, and an uninstall removes the pods. */
export async function checkCombinations({ checks, cluster, shard }: Setting): Promise<void> {
  const all = Object.entries(MODES).filter(([name]) => name !== WITH_TRIAL_DATABASE)
  const some = shardOf(all, shard)
  console.log(`\n${some.length} of ${all.length} modes of the chart, installed and uninstalled`)
  await prepare(cluster)
  for (const [name, values] of some) {
    const began = performance.now()
    await checks.equal(name, ['ok', 'ok', 'ok'], async () => {
      const results = [
        reported(await cluster.helm(['install', 'mintmark', CHART, ...WAITING], values)),
        reported(await cluster.helm(['test', 'mintmark'])),
        reported(await cluster.helm(['uninstall', 'mintmark', ...WAITING])),
      ]
      await until(
        'the pods are gone',
        () => cluster.podsOfRelease('mintmark').length,
        count => count === 0,
        WAIT_MS,
      )
      return results
    })
    note(`${since(began)} s`)
  }
}

/** What the modes take from the cluster. */
async function prepare(cluster: Cluster): Promise<void> {
  await cluster.secret(NAMESPACE, 'mintmark-traces', { headers: 'authorization=Bearer%20none' })
  await cluster.secret(NAMESPACE, 'mintmark-sync', { 'xds-token': cluster.xdsToken })
  const authority = makeAuthority('suite')
  const dnsNames = [`mintmark-xds.${NAMESPACE}.svc.cluster.local`]
  const own = makeCertificate(authority, { name: 'mintmark-xds', authorityName: 'suite', dnsNames })
  await cluster.secret(NAMESPACE, 'mintmark-xds-tls', {
    ...{ 'tls.crt': own.certificate, 'tls.key': own.key, 'ca.crt': authority.certificate },
  })
  await cluster.databaseSecret(NAMESPACE, 'mintmark', 'own-database', ['app', 'direct', 'owner'])
  await cluster.kubectl(['create', 'serviceaccount', 'existing', '--namespace', NAMESPACE])
  const spec = {
    ...{ accessModes: ['ReadWriteOnce', 'ReadWriteMany'], capacity: { storage: '2Gi' } },
    storageClassName: 'own',
  }
  for (const name of ['own-class', 'own-claim']) {
    const hostPath = { path: join(cluster.folder, name) }
    await cluster.plane.api.post('/api/v1/persistentvolumes', {
      ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name } },
      spec: { ...spec, hostPath },
    })
  }
  await cluster.plane.api.post(`/api/v1/namespaces/${NAMESPACE}/persistentvolumeclaims`, {
    ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'own-snapshots' } },
    spec: {
      ...{ accessModes: ['ReadWriteMany'], storageClassName: 'own', volumeName: 'own-claim' },
      resources: { requests: { storage: '1Gi' } },
    },
  })
}
