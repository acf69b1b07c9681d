import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { NAMESPACE, WAIT_MS } from './cluster.ts'
import { type Exchanged, failures, startLoad } from './load.ts'
import { INSTALLED } from './modes.ts'
import { CHART, note, reported, type Setting, WAITING } from './setting.ts'

/**
 * Upgrade, rollback, and half of the replicas killed, while API keys are exchanged. How fast that is depends on the machine, and is
 * only printed: on a busy one exchanges are late, and none is lost.
 */
export async function checkUpgrade(setting: Setting, secrets: string[]): Promise<void> {
  const { share, cpus, perSecond } = setting
  const bounded = share ? `, and ${cpus} of a processor for all of it` : ''
  console.log(`\nupgrade and rollback, with ${perSecond} exchanges a second${bounded}`)
  share?.bound(cpus)
  try {
    await replaceAll(setting, secrets)
    await killHalf(setting, secrets)
  } finally {
    share?.bound()
  }
}

async function replaceAll({ checks, cluster, onEnd, perSecond }: Setting, secrets: string[]): Promise<void> {
  const load = startLoad(await cluster.tokenUrl(), perSecond, secrets)
  onEnd(() => load.end())
  const refusals = cluster.proxy.refusals
  await sleep(3_000)
  const before = cluster.replicas().map(({ object }) => object.metadata.uid)
  const next = { ...INSTALLED, image: { ...INSTALLED.image, tag: 'second' } }
  await checks.equal('helm upgrade', 'ok', async () =>
    reported(await cluster.helm(['upgrade', 'mintmark', CHART, ...WAITING], next)),
  )
  // helm waits for the new ones; an old one that drains still exists.
  const replaced = async () => {
    const now = cluster.replicas().filter(pod => pod.isReady)
    return [now.length, now.filter(({ object }) => before.includes(object.metadata.uid)).length]
  }
  await checks.equal('it replaced both replicas', [2, 0], () =>
    until('the old ones are gone', replaced, ([all, old]) => all === 2 && old === 0, WAIT_MS).catch(replaced),
  )
  await checks.equal('the JWKS that sync wrote is still there', true, async () =>
    Boolean(await cluster.jwks()),
  )
  await checks.equal('helm rollback', 'ok', async () =>
    reported(await cluster.helm(['rollback', 'mintmark', ...WAITING])),
  )
  await sleep(2_000)
  const exchanged = await load.stop()
  print(exchanged)
  await checks.equal('exchanges that failed', 0, () => failures(exchanged))
  await checks.equal(
    'connections that a replica refused, of which the balancer spared the client',
    0,
    () => cluster.proxy.refusals - refusals,
  )
  await checks.equal('there were thousands', true, () => (exchanged.outcomes['200'] ?? 0) > perSecond * 10)
}

async function killHalf({ checks, cluster, onEnd, perSecond }: Setting, secrets: string[]): Promise<void> {
  const twoEndpoints = () =>
    until(
      'two replicas',
      () => cluster.proxy.endpoints(NAMESPACE, 'mintmark'),
      count => count === 2,
      WAIT_MS,
    )
  await twoEndpoints()
  const load = startLoad(await cluster.tokenUrl(), perSecond, secrets)
  onEnd(() => load.end())
  await sleep(3_000)
  const [half] = cluster.replicas().filter(pod => pod.isReady)
  await half?.killContainer()
  load.mark()
  await sleep(5_000)
  const exchanged = await load.stop()
  print(exchanged)
  await checks.equal('half of the replicas killed: at most what was under way fails', true, () => {
    const failed = failures(exchanged)
    return failed <= exchanged.mostUnderWay
  })
  await checks.equal(
    'and nothing on a connection that was opened afterwards',
    0,
    () => exchanged.newConnectionsFailed,
  )
  await checks.equal('the killed one is ready again', 2, twoEndpoints)
}

function print({ outcomes, mostUnderWay, slow, leftOut }: Exchanged): void {
  const late = slow + leftOut > 0 ? `; ${slow} answered after 10 s, ${leftOut} not sent in time` : ''
  note(`exchanges by status: ${JSON.stringify(outcomes)}; at most ${mostUnderWay} under way${late}`)
}
