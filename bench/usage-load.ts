import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { logRecords, type Request, send } from '../test/usage/reports.ts'

/** Of bench/usage-with-exchanges.ts, in a thread of its own: reports at a steady rate, by OpenTelemetry's own exporter. */
export interface UsageLoad {
  /** Absent: a receiver in this thread that accepts all and does nothing. */
  url?: string
  secret: string
  holders: { tenant: string; key: string }[]
  /** Records a second, and in one report. */
  rate: number
  batch: number
  seconds: number
}
export interface UsageLoadResult {
  sent: number
  failed: number
  /** Of each report, until it is counted. */
  ms: number[]
}

const load = workerData as UsageLoad
const receiver = createServer((req, res) => req.resume().once('end', () => res.end()))
await new Promise<void>(resolve => receiver.listen(0, '127.0.0.1', resolve))
const url = load.url ?? `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
const result: UsageLoadResult = { sent: 0, failed: 0, ms: [] }
const begun = performance.now()
const underWay = new Set<Promise<void>>()
for (let number = 0; number * load.batch < load.rate * load.seconds; number++) {
  const due = (number * load.batch * 1000) / load.rate - (performance.now() - begun)
  if (due > 0) await sleep(due)
  const requests: Request[] = Array.from({ length: load.batch }, (_, index) => ({
    ...(load.holders[(number * load.batch + index) % load.holders.length] as UsageLoad['holders'][number]),
    ...{ id: `bench-${begun}-${number}-${index}`, input: 100, output: 10 },
  }))
  const from = performance.now()
  const report = send(url, load.secret, logRecords(requests)).then(
    () => {
      result.sent += load.batch
      result.ms.push(performance.now() - from)
    },
    () => {
      result.failed += load.batch
    },
  )
  underWay.add(report)
  void report.finally(() => underWay.delete(report))
}
await Promise.all(underWay)
receiver.close()
receiver.closeAllConnections()
parentPort?.postMessage(result)
