import { readdirSync } from 'node:fs'
import { getPriority } from 'node:os'
import { gzipSync } from 'node:zlib'
import { afterAll, expect, it } from 'vitest'
import { Unavailable } from '../../src/errors.ts'
import { RequestError } from '../../src/http/request-error.ts'
import { ReportReader } from '../../src/telemetry/report-reader.ts'
import { UnreadableReport } from '../../src/telemetry/unreadable-report.ts'

const reader = new ReportReader()
afterAll(() => reader.close())

const BY = { audiences: ['vllm'], dedupSeconds: 3_600, now: Date.now() }

function read(body: Buffer, isPacked = false) {
  return reader.read({ body, isPacked, encoding: 'application/json' }, BY)
}

/** With so many records without a tenant, which are ignored. */
const report = (records: number) =>
  Buffer.from(
    JSON.stringify({
      resourceLogs: [{ scopeLogs: [{ logRecords: Array(records).fill({ attributes: [] }) }] }],
    }),
  )

it('reads reports, each with its own result, in batches of 500', async () => {
  const results = await Promise.all([0, 500, 501, 3].map(records => read(report(records))))
  expect(results.map(batches => batches.map(({ ignored }) => ignored))).toEqual([[], [500], [500, 1], [3]])
})

it('says what is wrong with a report as the error that it is', async () => {
  await expect(read(Buffer.from('{'))).rejects.toThrow(UnreadableReport)
  await expect(read(Buffer.from('{'), true)).rejects.toThrow('The report is not valid gzip.')
  const long = read(gzipSync(Buffer.alloc(5 * 1_048_576)), true)
  await expect(long).rejects.toThrow(RequestError)
  await expect(long).rejects.toMatchObject({ status: 413 })
})

it('starts again after its thread has ended, and what was being read can be repeated', async () => {
  const reading = read(report(10_000)).catch(error => error)
  await reader.close()
  expect(await reading).toBeInstanceOf(Unavailable)
  expect(await read(report(1))).toHaveLength(1)
})

it('leaves this thread to others meanwhile', async () => {
  let [turns, isRead] = [0, false]
  const turn = () => {
    turns++
    if (!isRead) setImmediate(turn)
  }
  setImmediate(turn)
  await read(report(10_000))
  isRead = true
  // Read in this thread it would be one.
  expect(turns).toBeGreaterThan(5)
})

it.runIf(process.platform === 'linux' && getPriority() < 19)(
  'lets the exchanges of this process go first',
  async () => {
    const before = getPriority()
    await read(report(1))
    const niceness = readdirSync('/proc/self/task').map(thread => {
      try {
        return getPriority(Number(thread))
      } catch {
        return before // It has ended.
      }
    })
    expect(niceness.filter(each => each !== before)).toEqual([Math.min(before + 10, 19)])
    expect(getPriority()).toBe(before)
  },
)
