import { performance } from 'node:perf_hooks'
import { Environment } from '../faults/environment/environment.ts'
import { cpuMs } from '../faults/environment/replica.ts'
import { until } from '../support/until.ts'
import { revoke, type Setting, startSetting, statusOf } from './setting.ts'

const REQUESTS = 2_000
const LONGEST_MS = 120_000

/** Latency of requests and CPU time of Envoy with lists of these sizes, each on a Mintmark and an Envoy of its own. */
export async function printListSizes(sizes: readonly number[]): Promise<void> {
  console.log('\n  entries   p50 ms   p99 ms   CPU of Envoy, ms a request   a revocation is refused after ms')
  for (const size of sizes) {
    const environment = new Environment({ full: false })
    try {
      await printOne(await startSetting(environment, size), size)
    } finally {
      await environment.close()
    }
  }
}

async function printOne(setting: Setting, size: number): Promise<void> {
  const { first } = setting
  // The refusal of the first one shows that Envoy has the whole list.
  await refusal(setting)
  const wait = await refusal(setting)
  const { token } = await setting.credential()
  const durations: number[] = []
  const cpuBefore = cpuMs(first.pid ?? 0)
  for (let request = 0; request < REQUESTS; request++) {
    const began = performance.now()
    const status = await statusOf(first, token)
    if (status !== 200) throw new Error(`a request got ${status}`)
    durations.push(performance.now() - began)
  }
  const cpu = (cpuMs(first.pid ?? 0) - cpuBefore) / REQUESTS
  durations.sort((a, b) => a - b)
  const at = (share: number) => (durations[Math.floor(share * durations.length)] ?? 0).toFixed(2).padStart(8)
  const columns = [
    String(size).padStart(9),
    at(0.5),
    at(0.99),
    cpu.toFixed(3).padStart(28),
    wait.toFixed(0).padStart(34),
  ]
  console.log(columns.join(' '))
}

async function refusal(setting: Setting): Promise<number> {
  const mine = await setting.credential()
  await revoke(setting, mine)
  const began = performance.now()
  await until(
    '401',
    () => statusOf(setting.first, mine.token),
    found => found === 401,
    LONGEST_MS,
  )
  return performance.now() - began
}
