import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../support/until.ts'
import { EXPECTED_ANSWERS, NAMESPACE, WAIT_MS } from './cluster.ts'
import { INSTALLED } from './modes.ts'
import { CHART, note, reported, type Setting, since, WAITING } from './setting.ts'

/** Installs the chart with nearly everything at once. */
export async function install({ checks, cluster }: Setting): Promise<void> {
  console.log('\ninstallation')
  const began = performance.now()
  await checks.equal('helm install: the hook migrates, two replicas become ready', 'ok', async () =>
    reported(await cluster.helm(['install', 'mintmark', CHART, ...WAITING], INSTALLED)),
  )
  note(`${since(began)} s`)
  await checks.equal('helm test', 'ok', async () => reported(await cluster.helm(['test', 'mintmark'])))
  await checks.equal('two endpoints', 2, () => cluster.proxy.endpoints(NAMESPACE, 'mintmark'))
  await checks.equal('sync writes the JWKS with the rights of its own service account', true, () =>
    until('the JWKS is there', () => cluster.jwks(), Boolean, WAIT_MS).then(Boolean),
  )
  const snapshots = () =>
    readdirSync(join(cluster.folder, 'snapshots'), { recursive: true, encoding: 'utf8' })
  await checks.equal('snapshots are on the volume', true, () =>
    until('a snapshot', () => snapshots().some(name => name.endsWith('.snapshot')), Boolean, WAIT_MS),
  )
  await checks.equal('every listener that has a Service answers there', EXPECTED_ANSWERS, () =>
    cluster.answers(),
  )
  await checks.equal(
    'the processes are user 1000, without capabilities, and cannot write to their root',
    ['1000 0000000000000000 1 ro', '1000 0000000000000000 1 ro'],
    () => cluster.replicas().map(pod => pod.confinement()),
  )
}
