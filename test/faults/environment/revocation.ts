import { setTimeout as sleep } from 'node:timers/promises'
import { scrape } from '../../observability/metrics-text.ts'
import { until } from '../../support/until.ts'
import { PATIENCE_MS } from './environment.ts'
import type { Key } from './known-keys.ts'
import type { Replica } from './replica.ts'
import { type Report, WHY } from './report.ts'

const GIVEN_UP_MS = 10_000
const PAUSE_MS = 20

/** A revocation at all replicas, in milliseconds from the admin's 200. */
interface Revocation {
  /** Until the last replica rejected the key, including the machine's delays. */
  refusedMs: number
  /** When the last successful exchange was sent; 0: none succeeded. */
  exchangedMs: number
}

/** Returns once each of them receives notifications of changes. */
export async function allListen(replicas: readonly Replica[]): Promise<void> {
  const listens = async ({ urls }: Replica) =>
    (await scrape(urls.ops)).series.get('mintmark_feed_listening') === 1
  await Promise.all(
    replicas.map(replica => until('it is notified', () => listens(replica), Boolean, PATIENCE_MS)),
  )
}

export async function revokeAll(
  keys: readonly Key[],
  by: Replica,
  replicas: readonly Replica[],
): Promise<Revocation[]> {
  const revocations: Revocation[] = []
  for (const key of keys) {
    const known = await Promise.all(replicas.map(replica => replica.exchange(key.secret)))
    if (known.some(({ status }) => status !== 200))
      throw new Error(`${key.id} was not exchanged before its revocation`)
    revocations.push(await revoke(key, by, replicas))
    await sleep(PAUSE_MS)
  }
  return revocations
}

async function revoke({ id, secret }: Key, by: Replica, replicas: readonly Replica[]): Promise<Revocation> {
  const { status, text } = await by.change(`/keys/${id}/revoke`, {})
  if (status !== 200) throw new Error(`${id} was not revoked: ${status} ${text}`)
  const acknowledged = performance.now()
  const since = () => performance.now() - acknowledged
  const at = async (replica: Replica): Promise<Revocation> => {
    let exchangedMs = 0
    while (since() < GIVEN_UP_MS) {
      const sent = since()
      const { status } = await replica.exchange(secret)
      if (status === 401) return { refusedMs: since(), exchangedMs }
      if (status === 200) exchangedMs = sent
    }
    return { refusedMs: Number.POSITIVE_INFINITY, exchangedMs: Number.POSITIVE_INFINITY }
  }
  const all = await Promise.all(replicas.map(at))
  return {
    refusedMs: Math.max(...all.map(({ refusedMs }) => refusedMs)),
    exchangedMs: Math.max(...all.map(({ exchangedMs }) => exchangedMs)),
  }
}

/** `p99`: the usual 99th percentile; `enforced`: the limit after which a successful exchange breaks the promise. */
export function reportRevocations(
  report: Report,
  what: string,
  revocations: readonly Revocation[],
  bounds: { p99?: number; enforced: number },
): void {
  const sorted = revocations.map(({ refusedMs }) => refusedMs).sort((a, b) => a - b)
  const at = (part: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
  report.note(`revocations ${what}`, revocations.length)
  report.invariant(
    `last request exchanged after a revocation ${what}`,
    Math.max(...revocations.map(({ exchangedMs }) => exchangedMs)),
    { atMost: bounds.enforced, unit: 'ms', why: WHY.revoked },
  )
  report.note(`refused everywhere ${what}, median`, at(0.5), 'ms')
  if (bounds.p99 === undefined) report.note(`refused everywhere ${what}, 99th percentile`, at(0.99), 'ms')
  else
    report.measurement(`refused everywhere ${what}, 99th percentile`, at(0.99), {
      atMost: bounds.p99,
      unit: 'ms',
    })
  report.measurement(`refused everywhere ${what}, the slowest`, at(1), { atMost: 1_000, unit: 'ms' })
}
