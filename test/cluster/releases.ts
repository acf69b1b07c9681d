import { until } from '../support/until.ts'
import { NAMESPACE, TRIAL, WAIT_MS } from './cluster.ts'
import { INSTALLED, PRODUCTION } from './modes.ts'
import { CHART, reported, type Setting, WAITING } from './setting.ts'

/** What helm leaves behind: after a migration that fails, after an uninstall, and of secrets that the chart generates. */
export async function checkReleases(setting: Setting, secrets: string[]): Promise<void> {
  await failedMigration(setting, secrets)
  await uninstall(setting, secrets)
  await generated(setting)
}

async function failedMigration({ checks, cluster }: Setting, secrets: string[]): Promise<void> {
  console.log('\na migration that fails')
  const before = cluster.replicas().map(({ object }) => object.metadata.uid)
  const nowhere = 'postgres://postgres@10.77.0.1:9/mintmark'
  await cluster.secret(NAMESPACE, 'database-away', {
    'database-url': nowhere,
    'direct-url': nowhere,
    'migrate-database-url': nowhere,
  })
  const database = { ...INSTALLED.database, existingSecret: 'database-away' }
  const values = { ...INSTALLED, database, migration: { timeoutSeconds: 15 } }
  const upgrade = (given: object) => cluster.helm(['upgrade', 'mintmark', CHART, ...WAITING], given)
  await checks.equal('helm upgrade fails', false, async () => (await upgrade(values)).ok)
  await checks.equal('the replicas are those of before', before, () =>
    cluster.replicas().map(({ object }) => object.metadata.uid),
  )
  await checks.equal('they exchange keys', 200, () => cluster.exchange(secrets))
  await checks.equal('helm upgrade with the right Secret', 'ok', async () =>
    reported(await upgrade(INSTALLED)),
  )
}

async function uninstall({ checks, cluster }: Setting, secrets: string[]): Promise<void> {
  console.log('\nuninstall, and install again')
  await checks.equal('helm uninstall', 'ok', async () =>
    reported(await cluster.helm(['uninstall', 'mintmark', ...WAITING])),
  )
  await checks.equal('what is left of it', ['persistentvolumeclaim/mintmark-snapshots'], async () => {
    const kinds =
      'all,configmap,ingress,networkpolicy,poddisruptionbudget,pvc,role,rolebinding,lease,servicemonitor'
    const selector = 'app.kubernetes.io/instance=mintmark'
    const pods = () => cluster.replicas().length
    await until(
      'the pods are gone',
      async () => pods(),
      count => count === 0,
      WAIT_MS,
    )
    const found = await cluster.kubectl([
      'get',
      kinds,
      '--all-namespaces',
      '--selector',
      selector,
      '--output',
      'name',
    ])
    return found.stdout.trim().split('\n')
  })
  await checks.equal('helm install again', 'ok', async () =>
    reported(await cluster.helm(['install', 'mintmark', CHART, ...WAITING], INSTALLED)),
  )
  await checks.equal('keys of before are exchanged', 200, () => cluster.exchange(secrets))
}

async function generated({ checks, cluster }: Setting): Promise<void> {
  console.log('\nsecrets that the chart generates')
  const { image, issuer, database } = PRODUCTION
  const values = { image, issuer, database, secrets: { generate: true } }
  const secret = async () => {
    const found = await cluster.plane.api.get(`/api/v1/namespaces/${TRIAL}/secrets/other-mintmark`)
    return found.data as Record<string, string>
  }
  const run =
    (...command: string[]) =>
    async () => {
      const given = ['install', 'upgrade'].includes(command[0] ?? '') ? values : undefined
      return reported(await cluster.helm([...command, ...WAITING], given, TRIAL))
    }
  await checks.equal('helm install', 'ok', run('install', 'other', CHART))
  const first = await secret()
  await checks.equal('helm upgrade', 'ok', run('upgrade', 'other', CHART))
  await checks.equal('the upgrade keeps them', first, secret)
  await checks.equal('helm uninstall', 'ok', run('uninstall', 'other'))
  await checks.equal('the uninstall keeps them', first, secret)
  await checks.equal('helm install again, with the same database', 'ok', run('install', 'other', CHART))
  await checks.equal('and the same secrets', first, secret)
}
