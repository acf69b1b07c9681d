import { Agent, request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ServiceProcess, startProcess } from '../support/service-process.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** A replica that is stopped (SIGSTOP) and continued (SIGCONT), as by a debugger, a freezer or a paused machine. */

let mintmark: TestService
let proxy: Awaited<ReturnType<typeof TcpProxy.before>>
let paused: ServiceProcess
let urls: { public: string; gateway: string }
beforeAll(async () => {
  mintmark = await startTestService()
  proxy = await TcpProxy.before(mintmark.database.applicationUrl)
  paused = startProcess({ ...mintmark.environment, DATABASE_URL: proxy.url })
  urls = (await paused.ready()) as unknown as typeof urls
})
afterAll(async () => {
  await paused.kill()
  await mintmark.stop()
  await proxy.close()
})

/** Longer than a poll interval, several times. */
const PAUSE_MS = 1_500

/** Sends over a connection that is kept, so that the stopped process has the request when it continues. */
function send(agent: Agent, url: string, headers: Record<string, string>, body?: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { agent, method: body === undefined ? 'GET' : 'POST', headers }, answer =>
      answer.resume().on('end', () => resolve(answer.statusCode ?? 0)),
    )
    sent.on('error', reject).end(body)
  })
}

const exchange = (agent: Agent, secret: string) =>
  send(
    agent,
    `${urls.public}/oauth/token`,
    { 'content-type': 'application/x-www-form-urlencoded' },
    `grant_type=client_credentials&client_secret=${secret}`,
  )
const check = (agent: Agent, credential: string) =>
  send(agent, `${urls.gateway}/check`, { authorization: `Bearer ${credential}` })

/** The status of each request that was sent while the process was stopped; `meanwhile` runs then. */
async function whilePaused(
  requests: readonly ((agent: Agent) => Promise<number>)[],
  meanwhile: () => Promise<void>,
): Promise<number[]> {
  const agents = requests.map(() => new Agent({ keepAlive: true, maxSockets: 1 }))
  try {
    await Promise.all(requests.map((one, index) => one(agents[index] as Agent)))
    process.kill(paused.pid, 'SIGSTOP')
    const continued = sleep(PAUSE_MS)
    const answers = requests.map((one, index) => one(agents[index] as Agent))
    try {
      await meanwhile()
      await continued
    } finally {
      process.kill(paused.pid, 'SIGCONT')
    }
    return await Promise.all(answers)
  } finally {
    for (const agent of agents) agent.destroy()
  }
}

describe('A replica that was stopped while a key was revoked', () => {
  it('answers none of 30 requests with the key, and those with another key as before', async () => {
    const [gone, kept] = [await mintmark.tenantWithKey(), await mintmark.tenantWithKey()]
    const { body } = await mintmark.token({ grant_type: 'client_credentials', client_secret: gone.secret })
    const ten = (one: (agent: Agent) => Promise<number>) => Array.from({ length: 10 }, () => one)
    const ofGone = [
      ...ten(agent => exchange(agent, gone.secret)),
      ...ten(agent => check(agent, gone.secret)),
      ...ten(agent => check(agent, body.access_token)),
    ]
    const ofKept = [
      (agent: Agent) => exchange(agent, kept.secret),
      (agent: Agent) => check(agent, kept.secret),
    ]
    const statuses = await whilePaused([...ofGone, ...ofKept], async () => {
      const revoked = await mintmark.admin('POST', `/keys/${gone.keyId}/revoke`, {})
      expect(revoked.status).toBe(200)
    })
    expect(statuses.slice(0, 30)).toEqual(Array.from({ length: 30 }, () => 401))
    expect(statuses.slice(30)).toEqual([200, 200])
    expect(paused.logged('this process was paused: polling before it answers').length).toBeGreaterThan(0)
  })
})

describe('A replica that continues without a database', () => {
  it('answers known keys as in any outage, after one short wait', async () => {
    const { secret } = await mintmark.tenantWithKey()
    const requests = Array.from({ length: 5 }, () => (agent: Agent) => exchange(agent, secret))
    const statuses = await whilePaused(requests, () => proxy.become('freeze'))
    expect(statuses).toEqual([200, 200, 200, 200, 200])
    const agent = new Agent({ keepAlive: true })
    const times: number[] = []
    for (let count = 0; count < 20; count++) {
      const begun = performance.now()
      expect(await exchange(agent, secret)).toBe(200)
      times.push(performance.now() - begun)
      await sleep(100)
    }
    agent.destroy()
    await proxy.become('none')
    // The polls take a second to fail; no request waits for one.
    expect(times.sort((a, b) => a - b)[10]).toBeLessThan(300)
  })
})
