import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { ISSUER } from '../../deploy/generate/example.ts'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { objectsIn, startApiServer } from '../istiod/api-server.ts'
import { istiodMetric, istiodPorts, startGateway, startIstiod } from '../istiod/mesh.ts'
import { gatewayObjects, statusOf } from '../istiod/mesh-objects.ts'
import { startSync } from '../istiod/sync-process.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import { quantile, revoke, startSetting, TOKENS } from './setting.ts'

const PATIENCE_MS = 120_000
/** What docs/guides/istio.md advises where revocations are to arrive within seconds. */
const INTERVAL_SECONDS = 5
/** Of a round, of istiod and of the gateway, on top of the interval. */
const PUSHED_MS = 5_000
/** Longer than a list would need to be removed, if anything removed it. */
const AWAY_MS = 3 * INTERVAL_SECONDS * 1_000

const deploy = (path: string) => readFileSync(new URL(`../../deploy/istio/${path}`, import.meta.url), 'utf8')

/** A real istiod and a stock Envoy, with the AuthorizationPolicy that `mintmark sync --revocations` keeps. */
export async function checkIstio(checks: Checks, environment: Environment, rounds: number): Promise<void> {
  const setting = await startSetting(environment)
  const folder = mkdtempSync(join(tmpdir(), 'mintmark-istio-'))
  environment.onEnd(() => rmSync(folder, { recursive: true, force: true }))
  const onEnd = (end: () => unknown) => environment.onEnd(end)
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const api = await startApiServer(folder, onEnd)
  const ports = await istiodPorts()
  const gatewayPort = await freePort()
  const enginePort = Number(new URL(setting.engine.url).port)
  for (const object of objectsIn(`${deploy('authorization-policy.yaml')}---\n${deploy('envoy-filter.yaml')}`))
    await api.apply(object)
  for (const object of gatewayObjects(enginePort, gatewayPort)) await api.apply(object)
  const jwks = `${setting.mintmark.urls.public}/.well-known/jwks.json`
  const istio = deploy('request-authentication.yaml').replace(/jwksUri: .*/, `jwksUri: ${jwks}`)
  const sync = await startSync(folder, {
    istio: file('istio.yaml', istio),
    kubeconfig: api.kubeconfig,
    intervalSeconds: INTERVAL_SECONDS,
    issuer: ISSUER,
    revocations: {
      file: file('revocations.yaml', deploy('sync/revocations.yaml')),
      xds: `http://127.0.0.1:${setting.xdsPort}`,
      token: TOKENS.third,
    },
  })
  environment.onEnd(() => sync.program.stop())
  const istiod = await startIstiod(folder, ports, api)
  environment.onEnd(() => istiod.stop())
  const gateway = await startGateway(folder, 'ingress-1', ports)
  environment.onEnd(() => gateway.program.stop())
  const becomes = (token: string, status: number) =>
    until(
      `${status}`,
      () => statusOf(gatewayPort, token),
      found => found === status,
      PATIENCE_MS,
    )
  const other = await setting.credential()
  await becomes(other.token, 200)

  const waits: number[] = []
  const revoked: string[] = []
  for (let round = 0; round < rounds; round++) {
    const mine = await setting.credential()
    await becomes(mine.token, 200)
    // Anywhere between two rounds of sync.
    await sleep(Math.random() * INTERVAL_SECONDS * 1_000)
    await revoke(setting, mine)
    const since = performance.now()
    await becomes(mine.token, 403)
    waits.push(performance.now() - since)
    revoked.push(mine.token)
  }
  const seconds = (share: number) => (quantile(waits, share) / 1_000).toFixed(1)
  console.log(
    `\n  ${rounds} revocations at a gateway of Istio, sync every ${INTERVAL_SECONDS} s: from the response of the admin API to the ` +
      `refusal: median ${seconds(0.5)} s, longest ${seconds(1)} s`,
  )
  const bound = INTERVAL_SECONDS * 1_000 + PUSHED_MS
  await checks.equal(`all within the interval and ${PUSHED_MS / 1_000} s`, [], () =>
    waits.filter(ms => ms > bound).map(Math.round),
  )
  await checks.equal('another token is accepted', 200, () => statusOf(gatewayPort, other.token))
  await setting.mintmark.process.kill()
  await setting.postgres.kill()
  await sleep(AWAY_MS)
  const statuses = async () => {
    const found = new Set<number>()
    for (const token of revoked) found.add(await statusOf(gatewayPort, token))
    return [[...found], await statusOf(gatewayPort, other.token)]
  }
  await checks.equal(
    'Mintmark and Postgres are stopped: refused as before, others are not',
    [[403], 200],
    statuses,
  )
  await checks.equal('istiod counts no rejected configuration (NACK)', 0, () =>
    istiodMetric(ports, 'pilot_total_xds_rejects'),
  )
}
