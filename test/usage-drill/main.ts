import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Checks } from '../engine/checks.ts'
import { Environment } from '../faults/environment/environment.ts'
import { noCollector } from '../gateway-configs/collector.ts'
import { noEnvoy } from '../gateway-configs/envoy.ts'
import { isAbsent } from '../gateway-configs/program.ts'
import bundleSource from '../support/bundled-source.ts'
import { numbersOf } from '../support/seeded-numbers.ts'
import { until } from '../support/until.ts'
import { sendRequests } from './clients.ts'
import type { Totals } from './recording-engine.ts'
import { MODELS, type Setting, startSetting } from './setting.ts'

/**
 * usage-drill/ counts usage exactly once while what counts it is killed, on a real Envoy, a real nginx and a real Collector, all with
 * the shipped files, in front of an engine that adds up by itself:
 *
 *   npm run usage-drill                                  3,000 requests, and 20 s without a receiver
 *   npm run usage-drill -- --requests 1500 --away 5      in CI: a minute
 *   npm run usage-drill -- --requests 100000 --away 600  as docs/guides/usage.md states it
 *
 * `--seed` repeats a run. Ends with "N passed, N failed".
 */
const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '3000' },
    away: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
  },
})
const [requests, awaySeconds, seed] = [Number(values.requests), Number(values.away), Number(values.seed)]
const TOGETHER = 16
/** A second, while the receiver is down. */
const RATE_AWAY = 50
const DELIVERED_MS = 600_000

if (noCollector || noEnvoy || isAbsent('nginx')) {
  console.log(
    'usage drill: skipped, needs Envoy, nginx and a Collector: scripts/install-gateways.sh, scripts/install-otel-collector.sh\n0 passed, 0 failed',
  )
  process.exit(0)
}
await bundleSource()
const checks = new Checks()
const environment = new Environment({ full: false })
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void environment.close().then(() => process.exit(1)))

try {
  const setting = await startSetting(environment)
  await countsWhileKilled(setting)
  await withoutAReceiver(setting)
} catch (error) {
  await checks.equal('it ran to its end', undefined, () => {
    throw error
  })
} finally {
  await environment.close()
}
checks.end()

function planOf({ gateways, holders }: Setting) {
  const urls = gateways.map(({ url }) => url)
  return { holders, urls, models: MODELS, together: TOGETHER, random: numbersOf(seed) }
}

function requestsIn(totals: Totals): number {
  return Object.values(totals).reduce((sum, [served = 0, refused = 0]) => sum + served + refused, 0)
}

/** Each record is sent twice, and what receives and stores it is killed again and again. */
async function countsWhileKilled(setting: Setting): Promise<void> {
  console.log(`\n${requests} requests through Envoy and nginx, each record sent twice, seed ${seed}`)
  const { engine } = setting
  let isOver = false
  const kills = { receiver: 0, Postgres: 0 }
  const chance = numbersOf(seed + 1)
  // In turn, so that each is killed also in a short run.
  const chaos = async () => {
    for (let turn = 0; !isOver || turn < 2; turn++) {
      await sleep(1_000 + chance() * 3_000)
      if (turn % 2 === 0) {
        kills.Postgres++
        await setting.postgres.kill()
        await sleep(chance() * 2_000)
        await setting.postgres.start()
      } else {
        kills.receiver++
        await setting.killReplica()
        await sleep(chance() * 2_000)
        await setting.startReplica()
      }
    }
  }
  const began = performance.now()
  const chaotic = chaos()
  const result = await sendRequests({ ...planOf(setting), requests })
  const seconds = (performance.now() - began) / 1000
  isOver = true
  await chaotic
  console.log(
    `  note    ${(requests / seconds).toFixed(0)} requests a second; ${kills.receiver} times the receiver was killed, ${kills.Postgres} times Postgres`,
  )
  await checks.equal('no request failed', {}, () => result.failed)
  await checks.equal('the engine saw all', requests, () => engine.requests())
  await checks.equal('each total by hour, tenant, key and model is the engine’s', engine.totals(), () =>
    delivered(setting, 'collector', requests),
  )
}

/** What is counted once so many requests are, and a little later. */
async function delivered(setting: Setting, of: 'collector' | 'alone', expected: number): Promise<Totals> {
  const counted = () => setting.counted(of)
  await until('all is counted', counted, totals => requestsIn(totals) >= expected, DELIVERED_MS).catch(
    () => {},
  )
  // What is repeated comes later.
  await sleep(10_000)
  return counted()
}

/** The receiver is killed, and started again after a while: with the Collector nothing is lost. */
async function withoutAReceiver(setting: Setting): Promise<void> {
  console.log(`\nthe receiver is away for ${awaySeconds} s`)
  const { alone, engine } = setting
  await setting.killReplica()
  const back = Date.now() + awaySeconds * 1000
  const meanwhile = { requests: Number.POSITIVE_INFINITY, isOver: () => Date.now() > back }
  const result = await sendRequests({ ...planOf(setting), ...meanwhile, rate: RATE_AWAY })
  await setting.startReplica()
  await checks.equal('with the Collector: no request failed', {}, () => result.failed)
  await checks.equal(
    `with the Collector: all of ${result.sent} records are counted, each once`,
    engine.totals(),
    () => delivered(setting, 'collector', engine.requests()),
  )
  await setting.killReplica()
  const returns = Date.now() + awaySeconds * 1000
  const without = await sendRequests({
    ...planOf(setting),
    ...{ urls: [alone.url], requests: Number.POSITIVE_INFINITY, isOver: () => Date.now() > returns },
    rate: RATE_AWAY,
  })
  await setting.startReplica()
  await checks.equal('Envoy alone: no request failed', {}, () => without.failed)
  await sleep(10_000)
  const counted = requestsIn(await setting.counted('alone'))
  console.log(
    `  note    Envoy alone: ${without.sent - counted} of ${without.sent} records are lost, with a receiver away for ${awaySeconds} s`,
  )
}
