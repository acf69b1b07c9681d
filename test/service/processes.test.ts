import { Agent, request as httpRequest } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type MetricsPage, scrape } from '../observability/metrics-text.ts'
import { freePort } from '../support/free-port.ts'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, testEnvironment } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** On a machine that is busy with other suites. */
const START_MS = 120_000
/** A connection that is being handed to a process when that is killed or stopped is never answered: its client gives up. */
const GIVE_UP_MS = 3_000
const CLIENTS = 8
/** Between a connection and its first request, as when a process has no time to read it. */
const LATE_MS = 100

const environment: Record<string, string> = {
  ...testEnvironment(),
  MINTMARK_PROCESSES: '2',
  MINTMARK_DRAIN_DELAY_SECONDS: '1',
  // Any free port for each of them: node:cluster counts up from the parent's.
  NODE_OPTIONS: '--inspect-port=0',
}
let database: TestDatabase
const started: ServiceProcess[] = []

beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(async () => {
  await Promise.all(started.map(process => process.kill()))
  await database.drop()
})

function start(env: Record<string, string> = {}): ServiceProcess {
  const process = startProcess({ ...environment, DATABASE_URL: database.applicationUrl, ...env })
  started.push(process)
  return process
}

/** The processes that became ready, in that order. */
const readied = (parent: ServiceProcess) =>
  parent.logged('process ready').map(({ process, pid }) => ({ number: process, pid: Number(pid) }))

const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

const okExchanges = ({ series }: MetricsPage) => series.get('mintmark_exchanges_total{outcome="ok"}') ?? 0

describe('two processes', { timeout: 4 * START_MS }, () => {
  let parent: ServiceProcess
  let urls: { public: string; admin: string; ops: string }
  let form: string
  beforeAll(async () => {
    const proxy = await TcpProxy.before(database.applicationUrl)
    await proxy.become('refuse')
    const opsPort = await freePort()
    parent = start({ DATABASE_URL: proxy.url, MINTMARK_OPS_PORT: String(opsPort) })
    await withoutDatabase(parent, `http://127.0.0.1:${opsPort}`)
    await proxy.become('none')
    urls = await parent.ready(START_MS)
    await until('both are ready', () => readied(parent).length === 2, Boolean, START_MS)
    const headers = {
      authorization: `Bearer ${environment.MINTMARK_ROOT_TOKEN}`,
      'content-type': 'application/json',
    }
    const post = (path: string, body: object) =>
      request(`${urls.admin}/admin/v1${path}`, { method: 'POST', headers, body: JSON.stringify(body) })
    const isDone = ({ status }: { status: number }) => [201, 409].includes(status)
    await until('there is a tenant', () => post('/tenants', { id: 'acme' }), isDone, START_MS)
    const { body } = await until('there is a key', () => post('/tenants/acme/keys', {}), isDone, START_MS)
    form = new URLSearchParams({ grant_type: 'client_credentials', client_secret: body.secret }).toString()
    return () => proxy.close()
  }, 2 * START_MS)

  /** The status of one exchange over this agent or connection; 0 without an answer in this time. */
  const exchange = (
    over: { agent: Agent } | { createConnection: () => Socket },
    timeout = START_MS,
  ): Promise<number> =>
    new Promise(resolve => {
      const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': form.length }
      const options = { method: 'POST', headers, timeout, ...over }
      const sent = httpRequest(`${urls.public}/oauth/token`, options)
      sent.once('response', answer => answer.resume().once('end', () => resolve(answer.statusCode ?? 0)))
      sent.once('timeout', () => sent.destroy())
      sent.once('error', () => resolve(0)).end(form)
    })

  /** An exchange over a new connection, some time after that was accepted. */
  const lateExchange = async (): Promise<number> => {
    const socket = connect(Number(new URL(urls.public).port), '127.0.0.1').on('error', () => {})
    await sleep(LATE_MS)
    const status = await exchange({ createConnection: () => socket })
    socket.destroy()
    return status
  }

  /** Clients at work until stopped, each with one kept connection: the statuses that each of them received. */
  function load(
    clients = CLIENTS,
    giveUpMs = START_MS,
  ): { count: () => number; stop: () => Promise<number[][]> } {
    const agents = Array.from({ length: clients }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
    const { count, stop } = repeat(agents.map(agent => () => exchange({ agent }, giveUpMs)))
    return {
      count,
      stop: async () => {
        const statuses = await stop()
        for (const agent of agents) agent.destroy()
        return statuses
      },
    }
  }

  it('both serve, and /metrics of the parent has the sums of what was sent, each series once', async () => {
    const work = load()
    await until('they are at work', () => work.count() > 100, Boolean, START_MS)
    const statuses = (await work.stop()).flat()
    expect(new Set(statuses)).toEqual(new Set([200]))
    const page = await scrape(urls.ops)
    expect(okExchanges(page)).toBe(statuses.length)
    const durations =
      'mintmark_http_request_duration_seconds_count{listener="public",route="/oauth/token",status="2xx"}'
    expect(page.series.get(durations)).toBe(statuses.length)
    expect(page.series.get('mintmark_processes_ready')).toBe(2)
    expect(page.series.get('mintmark_ready')).toBe(1)
    expect(page.series.get('mintmark_database_max_connections{pool="directory"}')).toBe(4)
    expect(page.series.get('mintmark_directory_keys')).toBe(1)
    const lines = page.text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
    expect(lines.length).toBe(page.series.size)
    const memory = [...page.series.keys()].filter(name => name.startsWith('process_resident_memory_bytes'))
    expect(memory.sort()).toEqual(
      ['1', '2', 'parent'].map(name => `process_resident_memory_bytes{process="${name}"}`),
    )
    const served = parent.logged('request').filter(({ listener }) => listener === 'public')
    expect(new Set(served.map(line => line.process))).toEqual(new Set([1, 2]))
    const whole = parent.output().split('\n').slice(0, -1)
    expect(whole.filter(line => !/^\{.*\}$/.test(line))).toEqual([])
  })

  it('logs once where they listen, and lists both as replicas', async () => {
    expect(parent.logged('listening')).toHaveLength(5)
    expect(parent.logged('ready')).toHaveLength(1)
    const rows = await database.asOwner('SELECT id FROM replicas')
    expect(rows).toHaveLength(2)
  })

  it('/readyz of the parent names the right that both lack, and /metrics has the connections that it closed too', async () => {
    const ready = () => request(`${urls.ops}/readyz`)
    await database.asOwner('REVOKE INSERT ON models FROM mintmark_app')
    const named = /^processes 1, 2: .*INSERT on models/
    const { status } = await until('it says so', ready, ({ body }) => named.test(body.warning), START_MS)
    expect(status).toBe(200)
    await database.asOwner('GRANT INSERT ON models TO mintmark_app')
    await until('nothing fails', ready, ({ body }) => body.warning === undefined, START_MS)
    const { series } = await scrape(urls.ops)
    for (const listener of ['public', 'admin', 'gateway', 'gateway_grpc', 'ops'])
      expect(series.get(`mintmark_connections_closed_total{listener="${listener}"}`)).toBe(0)
  })

  it('kill -9 of one fails the requests in flight, and it is replaced', async () => {
    const before = okExchanges(await scrape(urls.ops))
    const work = load(CLIENTS, GIVE_UP_MS)
    await until('they are at work', () => work.count() > 100, Boolean, START_MS)
    const [killed] = readied(parent) as [{ number: number; pid: number }]
    process.kill(killed.pid, 'SIGKILL')
    const counted: number[] = []
    const states: number[] = []
    const isReplaced = async () => {
      states.push((await request(`${urls.ops}/readyz`)).status)
      counted.push(okExchanges(await scrape(urls.ops)))
      return readied(parent).length === 3
    }
    await until('it is replaced', isReplaced, Boolean, START_MS)
    const statuses = await work.stop()
    const failures = statuses.map(seen => seen.filter(status => status !== 200).length)
    // A client's next connection may still be handed to the process that is ending (docs/decisions/0019-several-processes.md).
    expect(Math.max(...failures)).toBeLessThanOrEqual(2)
    expect(failures, 'the other process went on').toContain(0)
    expect(new Set(states)).toEqual(new Set([200]))
    expect([before, ...counted], 'no counter went back').toEqual(
      [before, ...counted].toSorted((a, b) => a - b),
    )
    expect(parent.logged('process ended unexpectedly')).toMatchObject([
      { process: killed.number, pid: killed.pid, signal: 'SIGKILL' },
    ])
    const { series } = await scrape(urls.ops)
    expect(series.get('mintmark_process_exits_total')).toBe(1)
    expect(readied(parent)[2]).toMatchObject({ number: killed.number })
  })

  it('one that does not respond takes at most one more connection, and is ended and replaced', async () => {
    const begun = readied(parent)
    const exits = () => parent.logged('process ended unexpectedly').length
    const ended = exits()
    const stopped = begun.at(-1) as { number: number; pid: number }
    process.kill(stopped.pid, 'SIGSTOP')
    const isNoticed = async () => (await scrape(urls.ops)).series.get('mintmark_processes_ready') === 1
    await until('it is noticed', isNoticed, Boolean, START_MS)
    const statuses: number[] = []
    for (let count = 0; count < 20; count++) statuses.push(await exchange({ agent: new Agent() }, GIVE_UP_MS))
    expect(statuses.filter(status => status !== 200).length).toBeLessThanOrEqual(1)
    const isReplaced = () => readied(parent).length === begun.length + 1
    await until('it is replaced', isReplaced, Boolean, START_MS)
    expect(parent.logged('process does not respond')).toMatchObject([
      { process: stopped.number, pid: stopped.pid },
    ])
    expect(exits()).toBe(ended + 1)
    expect(isAlive(stopped.pid)).toBe(false)
    expect(readied(parent).at(-1)).toMatchObject({ number: stopped.number })
  })

  it('SIGHUP replaces one after another: no request fails, and what was counted stays counted', async () => {
    const begun = readied(parent)
    const ended = parent.logged('process ended unexpectedly').length
    const before = okExchanges(await scrape(urls.ops))
    const work = load(1)
    const late = repeat(Array.from({ length: CLIENTS }, () => lateExchange))
    await until('they are at work', () => work.count() > 100 && late.count() > CLIENTS, Boolean, START_MS)
    parent.child.kill('SIGHUP')
    await until('both are new', () => readied(parent).length === begun.length + 2, Boolean, 2 * START_MS)
    await until('the old ones ended', () => !begun.some(({ pid }) => isAlive(pid)), Boolean, START_MS)
    const statuses = [...(await work.stop()), ...(await late.stop())].flat()
    expect(statuses.filter(status => status !== 200)).toEqual([])
    expect(okExchanges(await scrape(urls.ops))).toBe(before + statuses.length)
    expect(readied(parent).slice(-2)).toMatchObject([{ number: 1 }, { number: 2 }])
    expect(parent.logged('process ended unexpectedly')).toHaveLength(ended)
  })

  it('SIGTERM drains both, and the parent ends with 0', async () => {
    const killed = parent.logged('process ended unexpectedly').length
    const pids = readied(parent)
      .slice(-2)
      .map(({ pid }) => pid)
    parent.child.kill('SIGTERM')
    const draining = () => request(`${urls.ops}/readyz`)
    const { body } = await until('it drains', draining, ({ status }) => status === 503)
    expect(body).toMatchObject({ status: 'unready', reason: 'draining' })
    const { code, signal } = await parent.exited
    expect({ code, signal }).toEqual({ code: 0, signal: null })
    expect(pids.filter(isAlive)).toEqual([])
    expect(parent.logged('process ended unexpectedly')).toHaveLength(killed)
    expect(await database.asOwner('SELECT id FROM replicas'), 'the killed ones').toHaveLength(killed)
  })
})

it(
  'a port that is in use ends the parent with 1 and one sentence, before any process starts',
  async () => {
    const taken = createServer()
    const port = await new Promise<number>(resolve => {
      taken.listen(0, '127.0.0.1', () => resolve((taken.address() as AddressInfo).port))
    })
    const parent = start({ MINTMARK_GATEWAY_GRPC_PORT: String(port) })
    expect((await parent.exited).code).toBe(1)
    const sentences = parent.output().match(/is in use: set \w+ to a free port/g)
    expect(sentences).toEqual(['is in use: set MINTMARK_GATEWAY_GRPC_PORT to a free port'])
    await new Promise(resolve => taken.close(resolve))
  },
  START_MS,
)

/** Both processes say why they are not ready, and nothing but the ops listener listens. */
async function withoutDatabase(parent: ServiceProcess, ops: string): Promise<void> {
  const { body } = await until(
    'both say why',
    () => request(`${ops}/readyz`),
    ({ text }) => text.includes('processes 1, 2: ') && !text.includes('starting'),
    START_MS,
  )
  expect(body).toMatchObject({ status: 'unready', reason: expect.stringMatching(/^processes 1, 2: .+/) })
  expect((await request(`${ops}/livez`)).status).toBe(200)
  expect(parent.logged('listening')).toEqual([])
}

/** Repeats each of these until stopped; returns what each of them returned. */
function repeat(tasks: readonly (() => Promise<number>)[]) {
  let [stopped, count] = [false, 0]
  const running = tasks.map(async task => {
    const statuses: number[] = []
    for (; !stopped; count++) statuses.push(await task())
    return statuses
  })
  return {
    count: () => count,
    stop: () => {
      stopped = true
      return Promise.all(running)
    },
  }
}
