import { performance } from 'node:perf_hooks'
import type { Checks } from '../engine/checks.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { streams } from '../faults/environment/load.ts'
import { Load, summed } from './load.ts'
import { live, quantile, refusedAfter, revoke, type Setting } from './setting.ts'

const CONNECTIONS = 10
/** With it each Envoy gets about 200 requests a second. */
const PAUSE_MS = 50
const EXCHANGES_A_SECOND = 100
/** Of fewer rounds the last percent is the longest one, which on a busy machine is the machine's. */
const FEWEST_FOR_A_SHARE = 100

/** Both Envoys and Mintmark are under load; each round revokes the tokens of one key, and waits until both refuse them. */
export async function checkRounds(
  checks: Checks,
  environment: Environment,
  setting: Setting,
  rounds: number,
): Promise<void> {
  const envoys = [setting.first, setting.second]
  const others = [await setting.credential(), await setting.credential()]
  const tokens = others.map(({ token }) => token)
  const loads = envoys.map(
    ({ url }) => new Load({ url, tokens, connections: CONNECTIONS, pauseMs: PAUSE_MS }),
  )
  const secrets = others.map(({ secret }) => secret)
  const rate = { perSecond: EXCHANGES_A_SECOND, connections: CONNECTIONS }
  const exchanges = environment.load(streams.known([setting.mintmark], secrets, rate))
  const waits: number[] = []
  const begun = performance.now()
  for (let round = 0; round < rounds; round++) {
    const mine = await live(setting)
    await revoke(setting, mine)
    const since = performance.now()
    waits.push(...(await Promise.all(envoys.map(envoy => refusedAfter(envoy, mine.token, since)))))
  }
  const seconds = (performance.now() - begun) / 1_000
  const sent = summed(await Promise.all(loads.map(load => load.stop())))
  const exchanged = (await exchanges.stop())('known')
  const at = (share: number) => Math.round(quantile(waits, share))
  console.log(
    `\n  ${rounds} revocations, two Envoys, under ${Math.round(sent.requests / seconds)} requests and ` +
      `${Math.round(exchanged.count / seconds)} exchanges a second: from the response of the admin API to the refusal, ms: ` +
      `median ${at(0.5)}, 99 % ${at(0.99)}, longest ${at(1)}`,
  )
  if (rounds >= FEWEST_FOR_A_SHARE)
    await checks.equal('99 % within 250 ms', true, () => quantile(waits, 0.99) <= 250)
  await checks.equal('all within a second', [], () => waits.filter(ms => ms > 1_000).map(Math.round))
  await checks.equal('no request with another token was refused', {}, () => sent.others)
}
