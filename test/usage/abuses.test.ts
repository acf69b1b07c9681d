import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Environment } from '../faults/environment/environment.ts'
import { type Replica, residentBytes } from '../faults/environment/replica.ts'
import { freePort } from '../support/free-port.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'

/**
 * What a broken or stolen reporter may do to a process of its own, while an honest reporter reports and keys are exchanged. Each
 * prints how much was sent, what was answered, and what it cost; only what must never happen fails the test.
 */

/** 32 MiB of reports may be arriving; the rest is what a heap is larger by before it is collected. */
const MOST_GROWTH_BYTES = 256 * 1_048_576
const HONEST_EVERY_MS = 100
const HOUR_MS = 3_600_000

let database: TestDatabase
let environment: Environment
let mintmark: Replica
let receiver: string
let secret: string
let key: string
const reporters: Record<string, { id: string; secret: string }> = {}
let made = 0

beforeAll(async () => {
  database = await createTestDatabase()
  environment = new Environment({ full: true })
  const port = await freePort()
  receiver = `http://127.0.0.1:${port}/v1/logs`
  const env = { MINTMARK_OTLP_HTTP_PORT: String(port) }
  mintmark = await environment.replica(database.applicationUrl, env)
  for (const id of ['acme', 'blue']) {
    await mintmark.change('/tenants', { id })
    const { body } = await mintmark.change(`/tenants/${id}/keys`, {})
    if (id === 'acme') [key, secret] = [body.id, body.secret]
  }
  for (const name of ['honest', 'broken', 'stolen']) {
    const { body } = await mintmark.change('/usage-reporters', { name, audiences: ['vllm'] })
    reporters[name] = { id: body.id, secret: body.secret }
  }
}, 60_000)
afterAll(async () => {
  await environment.close()
  await database.drop()
})

interface Made {
  id?: string
  tenant?: string
  at?: number
  audience?: string
  more?: object[]
}
const attribute = (name: string, stringValue: string) => ({ key: name, value: { stringValue } })
const record = ({
  id = `one-${++made}`,
  tenant = 'acme',
  at = Date.now(),
  audience = 'vllm',
  more = [],
}: Made = {}) => ({
  timeUnixNano: `${at}000000`,
  attributes: [
    attribute('mintmark.request.id', id),
    attribute('mintmark.tenant', tenant),
    attribute('mintmark.key', key),
    attribute('mintmark.audience', audience),
    attribute('mintmark.outcome', 'completed'),
    attribute('gen_ai.usage.output_tokens', '5'),
    ...more,
  ],
})
const report = (records: object[]) =>
  JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: records }] }] })
const records = (count: number, each: () => Made = () => ({})) =>
  report(Array.from({ length: count }, () => record(each())))

async function post(of: string, body: string | Buffer, headers: Record<string, string> = {}) {
  const begun = performance.now()
  const answer = await fetch(receiver, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${reporters[of]?.secret}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: body as never,
  }).catch(error => ({ status: 0, text: async () => String(error.cause?.code ?? error) }))
  const text = await answer.text()
  return { status: answer.status, text, ms: performance.now() - begun }
}

/** Sent again while it is answered 429 or 503, as the protocol has it. `each`: sees the time of each request. */
async function postUntilTaken(of: string, body: string, each: (ms: number) => void = () => {}) {
  for (;;) {
    const answer = await post(of, body)
    each(answer.ms)
    if (answer.status !== 429 && answer.status !== 503) return answer
  }
}

async function requestsOf(name: string): Promise<number> {
  const [row] = await database.asOwner<{ requests: number }>(
    'SELECT coalesce(sum(requests), 0)::int AS requests FROM usage_totals WHERE reporter_id = $1',
    [reporters[name]?.id],
  )
  return row?.requests ?? 0
}

const counts = <T>(values: readonly T[]): string =>
  [...new Set(values)].map(value => `${value} × ${values.filter(other => other === value).length}`).join(', ')
const slowest = (times: readonly number[]) => `${Math.round(Math.max(0, ...times))} ms at most`

/** Runs the abuse; all that the honest reporter sends meanwhile is counted, and each exchange succeeds. */
async function beside(title: string, abuse: () => Promise<string>): Promise<void> {
  let isOver = false
  const before = await requestsOf('honest')
  const honest: number[] = []
  const exchanges: number[] = []
  const statuses = new Set<number>()
  let sent = 0
  const reporting = async () => {
    while (!isOver) {
      const { status } = await postUntilTaken('honest', records(50), ms => honest.push(ms))
      expect(status).toBe(200)
      sent += 50
      await new Promise(resolve => setTimeout(resolve, HONEST_EVERY_MS))
    }
  }
  const exchanging = async () => {
    while (!isOver) {
      const { status, ms } = await mintmark.exchange(secret)
      statuses.add(status)
      exchanges.push(ms)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }
  const resident = residentBytes(mintmark)
  let highest = resident
  const watching = async () => {
    while (!isOver) {
      highest = Math.max(highest, residentBytes(mintmark))
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  const others = [reporting(), exchanging(), watching()]
  const begun = performance.now()
  const figures = await abuse().finally(() => {
    isOver = true
  })
  await Promise.all(others)
  const seconds = ((performance.now() - begun) / 1000).toFixed(1)
  console.log(
    `${title}: ${figures}, in ${seconds} s; memory +${Math.round((highest - resident) / 1_048_576)} MiB; honest reports ${slowest(honest)}, ${exchanges.length} exchanges ${slowest(exchanges)}`,
  )
  expect([...statuses]).toEqual([200])
  expect(await requestsOf('honest')).toBe(before + sent)
  expect(highest - resident).toBeLessThan(MOST_GROWTH_BYTES)
}

const atOnce = <T>(count: number, work: (number: number) => Promise<T>): Promise<T[]> =>
  Promise.all(Array.from({ length: count }, (_, number) => work(number)))

describe('is refused or bounded', () => {
  it('a line of 10 MB: 40 reports, 8 at the same time, and 40 that are packed', async () => {
    const line = report([record({ more: [attribute('gen_ai.request.model', 'x'.repeat(10_000_000))] })])
    const packed = gzipSync(line)
    await beside('a line of 10 MB', async () => {
      const statuses: number[] = []
      for (let round = 0; round < 5; round++) {
        const answers = [
          ...(await atOnce(8, () => post('broken', line))),
          ...(await atOnce(8, () => post('broken', packed, { 'content-encoding': 'gzip' }))),
        ]
        statuses.push(...answers.map(({ status }) => status))
      }
      // 0: the connection was closed while the body was still being sent. 408: it was sent for too long, on a busy machine.
      // 429: more at once than one reporter may.
      for (const status of statuses) expect([0, 408, 413, 429]).toContain(status)
      return `40 reports and 40 that are packed, answered ${counts(statuses)}`
    })
    expect(await requestsOf('broken')).toBe(0)
  }, 60_000)

  it('a million attributes: in one record, and 129 in each of many', async () => {
    const million = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[${'{},'.repeat(1_000_000)}{}]}]}]}]}`
    const many = records(100, () => ({
      more: Array.from({ length: 129 }, (_, index) => attribute(`a${index}`, '')),
    }))
    await beside('a million attributes', async () => {
      const statuses: number[] = []
      for (let round = 0; round < 10; round++) {
        const answers = await atOnce(4, number => post('broken', number % 2 === 0 ? million : many))
        statuses.push(...answers.map(({ status }) => status))
      }
      for (const status of statuses) expect([0, 400, 408, 413, 429]).toContain(status)
      return `20 with a million, 20 with 100 × 135, answered ${counts(statuses)}`
    })
    expect(await requestsOf('broken')).toBe(0)
  }, 60_000)

  it('a wrong clock: a day ahead, a day behind, and at the beginning and the end of time', async () => {
    const clocks = [Date.now() + 24 * HOUR_MS, Date.now() - 24 * HOUR_MS, 1, 9_000_000_000_000]
    await beside('a wrong clock', async () => {
      const rejected: number[] = []
      for (const at of clocks) {
        const { status, text } = await postUntilTaken(
          'broken',
          records(1_000, () => ({ at })),
        )
        expect(status).toBe(200)
        rejected.push(Number(JSON.parse(text).partialSuccess?.rejectedLogRecords))
      }
      expect(rejected).toEqual([1_000, 1_000, 1_000, 1_000])
      return `4,000 records, rejected ${rejected.join(', ')}`
    })
    expect(await requestsOf('broken')).toBe(0)
    const [kept] = await database.asOwner(
      'SELECT count(*)::int AS rows FROM usage_records WHERE reporter_id = $1',
      [reporters.broken?.id],
    )
    expect(kept).toEqual({ rows: 0 })
  }, 60_000)

  it('a replayed batch: 1,000 records, 50 times', async () => {
    const batch = records(1_000)
    await beside('a replayed batch', async () => {
      const statuses: number[] = []
      for (let round = 0; round < 25; round++)
        statuses.push(...(await atOnce(2, () => post('broken', batch))).map(({ status }) => status))
      for (const status of statuses) expect([200, 408, 429, 503]).toContain(status)
      return `50,000 records, answered ${counts(statuses)}, counted ${await requestsOf('broken')}`
    })
    expect(await requestsOf('broken')).toBe(1_000)
  }, 60_000)

  it('a forged tenant, and an audience of others', async () => {
    await beside('a forged tenant', async () => {
      const forged = [
        records(500, () => ({ tenant: 'blue' })),
        records(500, () => ({ tenant: 'nobody' })),
        records(500, () => ({ audience: 'other' })),
      ]
      const answers = []
      for (const body of forged) answers.push(await postUntilTaken('stolen', body))
      const rejected = answers.map(({ text }) => Number(JSON.parse(text).partialSuccess?.rejectedLogRecords))
      expect(rejected).toEqual([500, 500, 500])
      return `1,500 records, rejected ${rejected.join(', ')}`
    })
    expect(await requestsOf('stolen')).toBe(0)
  }, 60_000)

  it('a stolen reporter: what it sent is taken back, and it sends no more', async () => {
    await postUntilTaken('stolen', records(200))
    const since = new Date().toISOString()
    const path = `/usage-reporters/${reporters.stolen?.id}`
    await beside('a stolen reporter', async () => {
      for (let round = 0; round < 5; round++) await postUntilTaken('stolen', records(1_000))
      expect(await requestsOf('stolen')).toBe(5_200)
      await mintmark.admin('DELETE', path)
      const { body } = await mintmark.change(`${path}/void`, { since, reason: 'stolen' })
      const { status } = await post('stolen', records(1))
      expect(status).toBe(401)
      return `5,000 forged records beside 200 of before, taken back ${body.requests}, then answered ${status}`
    })
    expect(await requestsOf('stolen')).toBe(200)
  }, 60_000)

  it('and all of it left nothing in the log: no secret, and no line of 10 MB', () => {
    const log = mintmark.process.output()
    for (const { secret: ofReporter } of Object.values(reporters)) expect(log).not.toContain(ofReporter)
    expect(Math.max(...log.split('\n').map(line => line.length))).toBeLessThan(10_000)
  })
})
