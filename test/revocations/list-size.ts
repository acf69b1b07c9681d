import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { send } from '../gateway-configs/client.ts'
import type { Envoy } from '../gateway-configs/envoy.ts'
import { until } from '../support/until.ts'
import { type Setting, startSetting, tokenOf } from './setting.ts'

const REQUESTS = 2_000
const LONGEST_MS = 120_000

/** Latency of requests and CPU time of Envoy with lists of these sizes, each on a Mintmark and an Envoy of its own. */
export async function printListSizes(sizes: readonly number[]): Promise<void> {
  console.log('\n  entries   p50 ms   p99 ms   CPU of Envoy, ms a request   a revocation is refused after ms')
  for (const size of sizes) {
    const setting = await startSetting(size)
    try {
      await printOne(setting, size)
    } finally {
      await setting.stop()
    }
  }
}

async function printOne(setting: Setting, size: number): Promise<void> {
  const { first } = setting
  // Its refusal shows that Envoy has the whole list.
  const wait = await refusal(setting)
  const token = await tokenOf(setting, (await setting.mintmark.tenantWithKey()).secret)
  const durations: number[] = []
  const cpuBefore = cpuMs(first)
  for (let request = 0; request < REQUESTS; request++) {
    const began = performance.now()
    const { status } = await send(first.url, { token })
    if (status !== 200) throw new Error(`a request got ${status}`)
    durations.push(performance.now() - began)
  }
  const cpu = (cpuMs(first) - cpuBefore) / REQUESTS
  durations.sort((a, b) => a - b)
  const at = (share: number) => (durations[Math.floor(share * durations.length)] ?? 0).toFixed(2).padStart(8)
  const columns = [
    String(size).padStart(9),
    at(0.5),
    at(0.99),
    cpu.toFixed(3).padStart(28),
    wait.toFixed(0).padStart(32),
  ]
  console.log(columns.join(' '))
}

/** Milliseconds, of the second of two: with the first one Envoy has received the list. */
async function refusal(setting: Setting): Promise<number> {
  let ms = 0
  for (let time = 0; time < 2; time++) {
    const mine = await setting.mintmark.tenantWithKey()
    const token = await tokenOf(setting, mine.secret)
    await setting.mintmark.admin('POST', '/token-revocations', { key: mine.keyId })
    const began = performance.now()
    const status = async () => (await send(setting.first.url, { token })).status
    await until('401', status, found => found === 401, LONGEST_MS)
    ms = performance.now() - began
  }
  return ms
}

const TICK_MS = 10

/** User and system time of the process. Linux. */
function cpuMs({ pid }: Envoy): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}
