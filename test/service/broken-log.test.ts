import { Agent, request as httpRequest } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { scrape } from '../observability/metrics-text.ts'
import { diskOutput, type FailingOutput, lacksDisks, pipeOutput } from '../support/log-output.ts'
import { type ServiceProcess, startProcessTo } from '../support/service-process.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, testEnvironment } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** A real service process whose log cannot be written: no one waits, and every line arrives or is counted. */

const EXCHANGES = 100
/** Requests that are logged like exchanges and cost less, until lines are dropped. */
const ROUND = 500
const AT_A_TIME = 20

const environment = testEnvironment()
let database: TestDatabase
const ends: (() => unknown)[] = []
beforeAll(async () => {
  database = await createTestDatabase()
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})
afterAll(() => database.drop())

/** The statuses that were answered to so many requests, over kept connections: thousands are needed. */
async function statuses(count: number, url: string, form?: Record<string, string>): Promise<number[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: AT_A_TIME })
  const body = form && new URLSearchParams(form).toString()
  const send = () =>
    new Promise<number>((resolve, reject) => {
      const headers = body && { 'content-type': 'application/x-www-form-urlencoded' }
      const request = httpRequest(url, { agent, method: body ? 'POST' : 'GET', ...(headers && { headers }) })
      request.once('error', reject)
      request.once('response', response => {
        response.resume().once('end', () => resolve(response.statusCode ?? 0))
      })
      request.end(body)
    })
  try {
    return [...new Set(await Promise.all(Array.from({ length: count }, send)))]
  } finally {
    agent.destroy()
  }
}

async function start(output: FailingOutput) {
  ends.push(() => output.remove())
  const process = startProcessTo(output, { ...environment, DATABASE_URL: database.applicationUrl })
  ends.push(() => process.kill())
  return { process, urls: await process.ready() }
}

type Urls = Awaited<ReturnType<ServiceProcess['ready']>>

async function createKey(admin: string): Promise<string> {
  const id = `t-${Math.random().toString(36).slice(2)}`
  const headers = {
    authorization: `Bearer ${environment.MINTMARK_ROOT_TOKEN}`,
    'content-type': 'application/json',
  }
  const post = (path: string, body: object) =>
    request(`${admin}/admin/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
  await post('/tenants', { id })
  return (await post(`/tenants/${id}/keys`, {})).body.secret
}

const exchanges = (count: number, { public: url }: Urls, secret: string) =>
  statuses(count, `${url}/oauth/token`, { grant_type: 'client_credentials', client_secret: secret })
const unknownPaths = ({ public: url }: Urls) => statuses(ROUND, `${url}/nothing`)

const dropped = async ({ ops }: Urls) => (await scrape(ops)).series.get('mintmark_log_lines_dropped_total')

describe.each([
  ['a pipe whose reader has stalled', () => pipeOutput('stalled'), 'EAGAIN'],
  ['a pipe whose reader is gone', () => pipeOutput('gone'), 'EPIPE'],
  ['a full disk', diskOutput, 'ENOSPC'],
])('with its log on %s', (what, make, code) => {
  it.skipIf(what === 'a full disk' && lacksDisks() !== undefined)(
    'a service answers everything, drops and counts lines, and logs again by itself',
    async () => {
      const output = make()
      const { process, urls } = await start(output)
      const secret = await createKey(urls.admin)
      const requests = () => process.output().split('"msg":"request"').length - 1
      await until('the log is written so far', requests, count => count === 2)
      output.fail()
      let sent = 2 + EXCHANGES
      expect(await exchanges(EXCHANGES, urls, secret)).toEqual([200])
      while ((await dropped(urls)) === 0) {
        expect(await unknownPaths(urls)).toEqual([404])
        sent += ROUND
      }
      expect(await exchanges(EXCHANGES, urls, secret)).toEqual([200])
      sent += EXCHANGES
      expect((await request(`${urls.public}/.well-known/jwks.json`)).status).toBe(200)
      expect((await request(`${urls.ops}/readyz`)).status).toBe(200)

      output.recover()
      const reports = () => process.logged('log lines were dropped')
      await until('the loss is reported', () => reports().length > 0)
      expect(await exchanges(1, urls, secret)).toEqual([200])
      sent += 1
      const lost = await dropped(urls)
      expect(reports()).toMatchObject([{ level: 'error', lines: lost, code }])
      await until('all is written', requests, count => count + (lost ?? 0) === sent)

      process.child.kill('SIGTERM')
      expect(await process.exited).toMatchObject({ code: 0, signal: null })
      await until('the last line is read', () => process.logged('stopped').length === 1)
      expect(requests() + (lost ?? 0)).toBe(sent)
    },
  )
})

describe.each(['stalled', 'gone'] as const)('a service whose log is %s', how => {
  it('ends with 0 on SIGTERM', async () => {
    const output = pipeOutput(how)
    const { process, urls } = await start(output)
    output.fail()
    expect(await unknownPaths(urls)).toEqual([404])
    process.child.kill('SIGTERM')
    expect(await process.exited).toMatchObject({ code: 0, signal: null })
  })
})
