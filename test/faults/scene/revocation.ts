import { setTimeout as sleep } from 'node:timers/promises'
import type { Key } from './known-keys.ts'
import type { Replica } from './replica.ts'
import type { Report } from './report.ts'

const GIVEN_UP_MS = 5_000
const PAUSE_MS = 20

/** For each key: milliseconds from the admin's 200 until the last of the replicas had refused it. */
export async function revokeAll(
  keys: readonly Key[],
  by: Replica,
  replicas: readonly Replica[],
): Promise<number[]> {
  const took: number[] = []
  for (const key of keys) {
    const known = await Promise.all(replicas.map(replica => replica.exchange(key.secret)))
    if (known.some(({ status }) => status !== 200))
      throw new Error(`${key.id} was not exchanged before its revocation`)
    took.push(await revoke(key, by, replicas))
    await sleep(PAUSE_MS)
  }
  return took
}

async function revoke({ id, secret }: Key, by: Replica, replicas: readonly Replica[]): Promise<number> {
  const { status, text } = await by.admin('POST', `/keys/${id}/revoke`, {})
  if (status !== 200) throw new Error(`${id} was not revoked: ${status} ${text}`)
  const acknowledged = performance.now()
  const refusals = replicas.map(async replica => {
    while (performance.now() - acknowledged < GIVEN_UP_MS) {
      if ((await replica.exchange(secret)).status === 401) return performance.now() - acknowledged
    }
    return Number.POSITIVE_INFINITY
  })
  return Math.max(...(await Promise.all(refusals)))
}

export function reportRevocations(
  report: Report,
  what: string,
  took: readonly number[],
  bars: { p99?: number; slowest: number },
): void {
  const sorted = [...took].sort((a, b) => a - b)
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
  report.note(`revocations ${what}`, took.length)
  report.note('until the last replica refuses, median', at(0.5), 'ms')
  if (bars.p99 === undefined) report.note('99th percentile', at(0.99), 'ms')
  else report.check('99th percentile', at(0.99), { atMost: bars.p99 }, 'ms')
  report.check('the slowest', at(1), { atMost: bars.slowest }, 'ms')
}
