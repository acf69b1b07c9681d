import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { ask, type Limits, type Setting } from './setting.ts'

const ROUNDS = 20
const REQUESTS = 25
/** Charges are made after the answers. */
const CHARGED_MS = 200
const MANY = 1_000_000
const ALL: Limits = {
  ...{ requests_per_minute: MANY, requests_per_day: MANY },
  ...{ tokens_per_minute: MANY, tokens_per_day: MANY },
}

interface Case {
  name: string
  url: string
  envoy: number
  token: string
  times: number[]
  /** In nanoseconds, by program. */
  used: number[]
}

/**
 * Prints what limits cost a request, side by side: time, and processor time of Envoy, the rate limit service and Redis. Rounds of each
 * case follow each other. Not a check: noise of the machine moves it.
 */
export async function printCosts({
  clock,
  envoy,
  service,
  redis,
  tenant,
  unlimitedEnvoy,
}: Setting): Promise<void> {
  clock.nextDay()
  const plain = await unlimitedEnvoy()
  const free = await tenant({})
  const at = (
    name: string,
    { url, pid = 0 }: { url: string; pid?: number | undefined },
    token: string,
  ): Case => ({
    ...{ name, url, token, envoy: pid, times: [], used: [0, 0, 0] },
  })
  const cases = [
    at('envoy-api-keys-grpc.yaml', plain, free.token),
    at('envoy-limits.yaml, a tenant without limits', envoy, free.token),
    at('with one limit of requests', envoy, (await tenant({ requests_per_minute: MANY })).token),
    at('with all eight limits', envoy, (await tenant(ALL, ALL)).token),
  ]
  for (let round = 0; round < ROUNDS; round++)
    for (const each of cases) {
      const programs = [each.envoy, service.pid(), redis.pid()]
      const before = programs.map(processorTime)
      for (let i = 0; i < REQUESTS; i++) {
        const began = performance.now()
        await ask(each.url, each.token)
        each.times.push(performance.now() - began)
      }
      await sleep(CHARGED_MS)
      each.used = programs.map((pid, i) => (each.used[i] ?? 0) + processorTime(pid) - (before[i] ?? 0))
    }
  console.log('\n| a request with a token | median | 95th percentile | Envoy | rate limit service | Redis |')
  console.log('| --- | --- | --- | --- | --- | --- |')
  for (const { name, times, used } of cases) {
    const sorted = times.toSorted((a, b) => a - b)
    const quantile = (part: number) => `${sorted[Math.floor(sorted.length * part)]?.toFixed(2)} ms`
    const micros = used.map(each => `${(each / 1_000 / times.length).toFixed(0)} µs`)
    console.log(`| ${[name, quantile(0.5), quantile(0.95), ...micros].join(' | ')} |`)
  }
}

/** Of all threads of a process so far, in nanoseconds. */
const processorTime = (pid: number): number =>
  readdirSync(`/proc/${pid}/task`)
    .map(task => Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]))
    .reduce((sum, each) => sum + each, 0)
