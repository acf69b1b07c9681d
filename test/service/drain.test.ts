import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, testEnvironment } from '../support/test-service.ts'
import { until } from '../support/until.ts'

// The delay that is the default: a load balancer has a second to see that the process is unready.
const environment: Record<string, string> = { ...testEnvironment(), MINTMARK_DRAIN_DELAY_SECONDS: '1' }
const root = { authorization: `Bearer ${environment.MINTMARK_ROOT_TOKEN}` }

/** Of clients that send one request after another. */
const PACE_MS = 20

let database: TestDatabase
const processes: ServiceProcess[] = []

beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(async () => {
  await Promise.all(processes.map(process => process.kill()))
  await database.drop()
})

function start(env: Record<string, string> = {}): ServiceProcess {
  const process = startProcess({ ...environment, DATABASE_URL: database.applicationUrl, ...env })
  processes.push(process)
  return process
}

/** A form for the token endpoint with a key that works. */
async function exchangeForm(adminUrl: string): Promise<string> {
  const id = `t-${Math.random().toString(36).slice(2)}`
  const post = (path: string, body: object) =>
    request(`${adminUrl}/admin/v1${path}`, {
      method: 'POST',
      headers: { ...root, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  await post('/tenants', { id })
  const { body } = await post(`/tenants/${id}/keys`, {})
  return new URLSearchParams({ grant_type: 'client_credentials', client_secret: body.secret }).toString()
}

/**
 * The response to one exchange over a kept connection of this agent: its status, and whether it closes the connection.
 */
function exchange(agent: Agent, url: string, form: string): Promise<{ status: number; last: boolean }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': form.length }
    const sent = httpRequest(
      `${url}/oauth/token`,
      { method: 'POST', agent, headers },
      (answer: IncomingMessage) => {
        answer
          .resume()
          .once('end', () =>
            resolve({ status: answer.statusCode ?? 0, last: answer.headers.connection === 'close' }),
          )
      },
    )
    sent.once('error', reject).end(form)
  })
}

// Each has a process of its own, and waits for it most of the time.
describe.concurrent('a service that is to end', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'on %s reports draining, finishes a request in flight, and ends with 0 within 10 s',
    async signal => {
      const process = start()
      const urls = await process.ready()
      const form = await exchangeForm(urls.admin)
      const half = await halfSent(urls.public, form)
      process.child.kill(signal)
      const draining = await until(
        'draining',
        () => request(`${urls.ops}/readyz`),
        ({ status }) => status === 503,
      )
      expect(draining.body).toMatchObject({ status: 'unready', reason: 'draining' })
      expect(await half.finish()).toMatch(/^HTTP\/1\.1 200 OK[\s\S]*"access_token"/)
      expect(await ended(process)).toEqual({ code: 0, signal: null })
      expect(process.logged('stopped')).toHaveLength(1)
    },
  )

  it('clients with kept connections receive complete responses, and then Connection: close', async () => {
    const process = start()
    const urls = await process.ready()
    const form = await exchangeForm(urls.admin)
    const signalled = new AbortController()
    let answered = 0
    const client = async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      const statuses: number[] = []
      for (;;) {
        const { status, last } = await exchange(agent, urls.public, form)
        statuses.push(status)
        answered++
        if (last) return { statuses, told: signalled.signal.aborted }
      }
    }
    const clients = Array.from({ length: 12 }, client)
    await until('they are at work', () => answered > 60)
    signalled.abort()
    process.child.kill('SIGTERM')
    const seen = await Promise.all(clients)
    expect(seen.flatMap(({ statuses }) => statuses.filter(status => status !== 200))).toEqual([])
    expect(seen.every(({ told }) => told)).toBe(true)
    expect(await ended(process)).toEqual({ code: 0, signal: null })
  })

  it('a balancer that learns of it late: new connections are served as long as they come, and it then ends soon', async () => {
    const process = start()
    const urls = await process.ready()
    const form = await exchangeForm(urls.admin)
    process.child.kill('SIGTERM')
    const signalled = performance.now()
    const statuses = new Set<number>()
    while (performance.now() - signalled < 4_000) {
      statuses.add((await exchange(new Agent(), urls.public, form)).status)
      await sleep(PACE_MS)
    }
    expect([...statuses]).toEqual([200])
    expect(await ended(process)).toEqual({ code: 0, signal: null })
  })

  it('when connections never cease, it accepts them until two seconds before its deadline, and ends within 10 s', async () => {
    const process = start()
    const urls = await process.ready()
    const form = await exchangeForm(urls.admin)
    process.child.kill('SIGTERM')
    const signalled = performance.now()
    const outcomes = new Set<unknown>()
    for (; performance.now() - signalled < 5_000; await sleep(PACE_MS))
      outcomes.add((await exchange(new Agent(), urls.public, form)).status)
    expect([...outcomes]).toEqual([200])
    // When the socket closes, Linux resets a connection that is not accepted yet.
    const after = () =>
      exchange(new Agent(), urls.public, form).then(
        ({ status }) => status,
        error => error.code,
      )
    await until('connections are refused', after, outcome => outcome === 'ECONNREFUSED')
    expect(await ended(process)).toEqual({ code: 0, signal: null })
  })

  it('new connections are served for half a second and more, with or without existing connections', async () => {
    const process = start()
    const urls = await process.ready()
    const form = await exchangeForm(urls.admin)
    process.child.kill('SIGTERM')
    const signalled = performance.now()
    const statuses: number[] = []
    while (performance.now() - signalled < 500) {
      statuses.push((await exchange(new Agent(), urls.public, form)).status)
    }
    expect(statuses.length).toBeGreaterThan(2)
    expect(statuses.filter(status => status !== 200)).toEqual([])
    expect(await ended(process)).toEqual({ code: 0, signal: null })
  })

  it('a connection that was accepted before others are refused may still send its first request', async () => {
    const process = start()
    const urls = await process.ready()
    const form = await exchangeForm(urls.admin)
    process.child.kill('SIGTERM')
    await until('draining', () => process.logged('draining').length)
    const accepted = await open(urls.public)
    // By then the process has accepted it: it answers on a connection that was made later.
    expect((await exchange(new Agent(), urls.public, form)).status).toBe(200)
    // Each one that is accepted has the process wait for a second more.
    const isRefused = async () => {
      await sleep(1_300)
      return open(urls.public).then(
        socket => !socket.destroy(),
        () => true,
      )
    }
    await until('others are refused', isRefused)
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': form.length }
    const sent = httpRequest(`${urls.public}/oauth/token`, {
      method: 'POST',
      headers,
      createConnection: () => accepted,
    })
    const [answer] = (await once(sent.end(form), 'response')) as [IncomingMessage]
    expect(answer.statusCode).toBe(200)
    answer.resume()
    expect(await ended(process)).toEqual({ code: 0, signal: null })
  })

  it('gRPC calls, on connections that exist and on new ones, are answered until connections are refused', async () => {
    const process = start()
    const urls = await process.ready()
    const client = grpcClient(urls.gatewayGrpc)
    expect(await client.check()).toBe(200)
    process.child.kill('SIGTERM')
    const signalled = performance.now()
    const statuses: unknown[] = []
    await until(
      'connections are refused',
      async () => statuses.push(await client.check()),
      () => statuses.at(-1) === 'ECONNREFUSED',
    )
    expect(performance.now() - signalled).toBeGreaterThan(500)
    expect(new Set(statuses)).toEqual(new Set([200, 'ECONNREFUSED']))
    expect(await ended(process)).toEqual({ code: 0, signal: null })
  })

  it('while it waits for a missing database, the process ends with 0', async () => {
    const process = start({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' })
    await until('it tries', () => process.logged('not ready').length)
    process.child.kill('SIGTERM')
    expect(await ended(process)).toEqual({ code: 0, signal: null })
  })

  it('while the database does not respond, the process ends with 0', async () => {
    const proxy = await TcpProxy.before(database.applicationUrl)
    const process = start({ DATABASE_URL: proxy.url })
    await process.ready()
    await proxy.become('freeze')
    process.child.kill('SIGTERM')
    expect(await ended(process)).toEqual({ code: 0, signal: null })
    await proxy.become('none')
    await proxy.close()
  })

  it('on a signal, and another, ends although a request never does', async () => {
    const process = start()
    const urls = await process.ready()
    await halfSent(urls.public, 'grant_type=client_credentials')
    process.child.kill('SIGTERM')
    process.child.kill('SIGTERM')
    expect(await ended(process)).toEqual({ code: 0, signal: null })
  })
})

/** How it ended, within the 10 s allowed after the signal. */
async function ended(process: ServiceProcess) {
  const late = new Promise<never>((_, reject) =>
    setTimeout(() => reject(new Error(`still there: ${process.output()}`)), 10_000).unref(),
  )
  const { code, signal } = await Promise.race([process.exited, late])
  return { code, signal }
}

async function open(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  await once(socket, 'connect')
  return socket.on('error', () => {})
}

/** Makes a new connection once the service says that the current one ends. */
function grpcClient(url: string): { check(): Promise<unknown> } {
  let session: ClientHttp2Session | undefined
  const connected = () => {
    if (session) return session
    const made = connectHttp2(url.replace('grpc:', 'http:')).on('error', () => {})
    const end = () => {
      if (session === made) session = undefined
      made.close()
    }
    session = made.once('goaway', end).once('close', end)
    return session
  }
  return {
    check: () =>
      new Promise(resolve => {
        const path = '/grpc.health.v1.Health/Check'
        const used = connected()
        const call = used.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' })
        call.once('response', headers => call.resume().once('end', () => resolve(headers[':status'])))
        call.once('error', (error: NodeJS.ErrnoException) =>
          resolve((error.cause as NodeJS.ErrnoException)?.code ?? error.code),
        )
        used.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
        call.end(Buffer.alloc(5))
      }),
  }
}

/** Opens a request and holds back the last byte of its body. */
async function halfSent(url: string, form: string) {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname).on('error', () => {})
  let answer = ''
  socket.on('data', chunk => {
    answer += chunk
  })
  const head = `POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\nContent-Length: ${form.length}\r\n\r\n`
  await new Promise(resolve => socket.write(head + form.slice(0, -1), resolve))
  // The service has the request once it has sent 100 Continue.
  await until('the service reads the body', () => answer.includes('100 Continue'))
  answer = ''
  return {
    finish: async () => {
      socket.write(form.slice(-1))
      return until(
        'the answer',
        () => answer,
        text => text.includes('}'),
      )
    },
  }
}
