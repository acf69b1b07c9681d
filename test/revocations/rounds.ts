import { performance } from 'node:perf_hooks'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { streams } from '../faults/environment/load.ts'
import { allListen } from '../faults/environment/revocation.ts'
import { send } from '../gateway-configs/client.ts'
import { until } from '../support/until.ts'
import { Load, summed } from './load.ts'
import { live, quantile, refusedAfter, revoke, type Setting } from './setting.ts'

const CONNECTIONS = 10
/** With it each Envoy gets about 200 requests a second. */
const PAUSE_MS = 50
const EXCHANGES_A_SECOND = 100
/** Of fewer rounds the last percent is the longest one, which on a busy machine is the machine's. */
const FEWEST_FOR_A_SHARE = 100
const PATIENCE_MS = 30_000

/**
 * Two Envoys and two replicas are under load. Each round revokes the tokens of one key at one replica, and waits until both
 * Envoys, and the check of both replicas, refuse them.
 */
export async function checkRounds(
  checks: Checks,
  environment: Environment,
  setting: Setting,
  rounds: number,
): Promise<void> {
  const { mintmark, first, second, postgres } = setting
  const ports = { MINTMARK_XDS_PORT: '0', MINTMARK_PUBLIC_PORT: '0', MINTMARK_SNAPSHOT_DIR: '' }
  const replicas = [mintmark, await setting.replica(postgres.applicationUrl(), ports)]
  await allListen(replicas)
  const others = [await setting.credential(), await setting.credential()]
  const tokens = others.map(({ token }) => token)
  const loads = [first, second].map(
    ({ url }) => new Load({ url, tokens, connections: CONNECTIONS, pauseMs: PAUSE_MS }),
  )
  environment.onEnd(() => Promise.all(loads.map(load => load.stop())))
  const secrets = others.map(({ secret }) => secret)
  const rate = { perSecond: EXCHANGES_A_SECOND, connections: CONNECTIONS }
  const exchanges = environment.load(streams.known(replicas, secrets, rate))
  const atEnvoys: number[] = []
  const atChecks: number[] = []
  const begun = performance.now()
  for (let round = 0; round < rounds; round++) {
    const { token, ...mine } = await live(setting)
    for (const { urls } of replicas) await checkBecomes(urls.gateway, token, 200)
    await revoke(setting, { token, ...mine })
    const since = performance.now()
    const envoys = [first, second].map(async envoy => {
      atEnvoys.push(await refusedAfter(envoy, token, since))
    })
    const checked = replicas.map(async ({ urls }) => {
      await checkBecomes(urls.gateway, token, 401)
      atChecks.push(performance.now() - since)
    })
    await Promise.all([...envoys, ...checked])
  }
  const seconds = (performance.now() - begun) / 1_000
  const sent = summed(await Promise.all(loads.map(load => load.stop())))
  const exchanged = (await exchanges.stop())('known')
  console.log(
    `\n  ${rounds} revocations, under ${Math.round(sent.requests / seconds)} requests and ` +
      `${Math.round(exchanged.count / seconds)} exchanges a second. From the response of the admin API to the refusal, ms:`,
  )
  await report(checks, 'two Envoys', atEnvoys, rounds)
  await report(checks, 'the check of two replicas', atChecks, rounds)
  await checks.equal('no request with another token was refused', {}, () => sent.others)
}

async function report(
  checks: Checks,
  where: string,
  waits: readonly number[],
  rounds: number,
): Promise<void> {
  const at = (share: number) => Math.round(quantile(waits, share))
  console.log(`    ${where}: median ${at(0.5)}, 99 % ${at(0.99)}, longest ${at(1)}`)
  if (rounds >= FEWEST_FOR_A_SHARE)
    await checks.equal(`${where}: 99 % within 250 ms`, true, () => quantile(waits, 0.99) <= 250)
  await checks.equal(`${where}: all within a second`, [], () =>
    waits.filter(ms => ms > 1_000).map(Math.round),
  )
}

const checkBecomes = (url: string, token: string, status: number) =>
  until(
    `${status}`,
    async () =>
      (await send(url, { method: 'GET', body: '', path: '/check/v1/chat/completions', token })).status,
    found => found === status,
    PATIENCE_MS,
  )
