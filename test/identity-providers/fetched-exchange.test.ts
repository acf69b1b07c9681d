import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readHeader } from '../../src/snapshots/sealed-file.ts'
import type { SnapshotHeader } from '../../src/snapshots/snapshot.ts'
import { systemClock } from '../../src/system/clock.ts'
import { scrape } from '../observability/metrics-text.ts'
import { caughtUp } from '../support/caught-up.ts'
import { NO_SERVER } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { jws, newPair } from './assertions.ts'

/** Exchanges at a running service that fetches the keys of two issuers, which are real HTTP servers. */

const AUDIENCE = 'https://tokens.example.com'

/** Jobs run often, and time can be set forward. */
function setClock() {
  let offsetMs = 0
  return {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + offsetMs,
    every: (ms: number, task: () => Promise<void>) =>
      systemClock.every(ms === 1_000 || ms === 5_000 ? 100 : ms, task),
    forward: (seconds: number) => {
      offsetMs += seconds * 1000
    },
  }
}

async function issuer(pair: ReturnType<typeof newPair>) {
  const state = { pairs: [pair], down: false, requests: 0, authorizations: 0 }
  const server = createServer((req, res) => {
    state.requests++
    if (req.headers.authorization !== undefined) state.authorizations++
    if (state.down) return void req.socket.destroy()
    const set = { keys: state.pairs.map(({ jwk }) => jwk) }
    res.end(JSON.stringify(req.url === '/keys' ? set : { issuer: url, jwks_uri: `${url}/keys` }))
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as AddressInfo
  const url = `http://127.0.0.1:${port}`
  return Object.assign(state, { server, port, url })
}
type Issuer = Awaited<ReturnType<typeof issuer>>

const folder = mkdtempSync(join(tmpdir(), 'mintmark-fetched-'))
const clock = setClock()
const [old, next, another] = [newPair('old'), newPair('next'), newPair('another')]
let mintmark: TestService
let one: Issuer
let two: Issuer
const servers: Server[] = []
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_SNAPSHOT_DIR: folder }, overrides: { clock } })
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  one = await issuer(old)
  two = await issuer(another)
  servers.push(one.server, two.server)
  for (const each of [one, two]) await addProvider(each)
  await caughtUp(mintmark)
})
afterAll(async () => {
  await mintmark.stop()
  for (const server of servers) {
    server.closeAllConnections()
    server.close()
  }
  rmSync(folder, { recursive: true })
})

async function addProvider({ url, port }: Issuer) {
  const { body, text } = await mintmark.admin('POST', '/identity-providers', {
    kind: 'oidc',
    issuer: url,
    audiences: [AUDIENCE],
    allow_addresses: [`127.0.0.1/32:${port}`],
    jwks_max_stale_seconds: 600,
  })
  expect(body.id, text).toBeDefined()
  const credential = { type: 'federated', provider: body.id, subject: 'robot' }
  expect((await mintmark.admin('POST', '/tenants/acme/workload-keys', { credential })).status).toBe(201)
}

async function exchange({ url }: Issuer, pair: ReturnType<typeof newPair>, service = mintmark) {
  const exp = Math.floor(Date.now() / 1000) + 600
  const assertion = jws(pair, { alg: 'ES256', kid: pair.kid }, { iss: url, aud: AUDIENCE, sub: 'robot', exp })
  return (await service.token({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion }))
    .status
}
/** Sets time forward; the follower has seen all changes since. */
async function forward(seconds: number): Promise<void> {
  clock.forward(seconds)
  await until('all changes are seen', () => mintmark.service.changes.stalenessSeconds < 5)
}
/** The issuer has these keys, and they were fetched. */
async function publish(of: Issuer, ...pairs: Issuer['pairs']): Promise<void> {
  of.pairs = pairs
  const before = of.requests
  await forward(301)
  // The discovery document, and the keys.
  await until('a fetch', () => of.requests >= before + 2)
}

/** A snapshot has the last change. Before time is set forward: it does not go back for one. */
async function snapshotWritten(): Promise<void> {
  await mintmark.admin('PATCH', '/tenants/acme', { name: crypto.randomUUID() })
  await caughtUp(mintmark)
  const { position } = mintmark.service.changes
  const read = () =>
    Promise.all(
      readdirSync(folder)
        .filter(name => name.endsWith('.snapshot'))
        .map(name => readHeader<SnapshotHeader>(join(folder, name))),
    )
  const isWritten = (headers: SnapshotHeader[]) => headers.some(each => each.position.number === position)
  await until('the snapshot', read, isWritten, 30_000)
}

describe('A provider whose keys are fetched', () => {
  it('is usable at once: only the first exchange waits for them', async () => {
    expect(await exchange(one, old)).toBe(200)
    expect(await exchange(two, another)).toBe(200)
    const { requests } = one
    expect(await Promise.all(Array.from({ length: 50 }, () => exchange(one, old)))).toEqual(
      Array(50).fill(200),
    )
    expect(one.requests).toBe(requests)
    expect(one.authorizations).toBe(0)
  })

  it('is down when a replica starts without Postgres: it has the keys of the snapshot', async () => {
    await snapshotWritten()
    one.down = true
    const replica = await startTestService({
      database: mintmark.database,
      env: { ...mintmark.environment, DATABASE_URL: NO_SERVER },
      overrides: { clock: setClock() },
      awaitReady: false,
    })
    try {
      await until('it is ready', () => replica.service.isReady, Boolean, 30_000)
      expect(await exchange(one, old, replica)).toBe(200)
    } finally {
      one.down = false
      await replica.stop()
    }
  })

  it('is not read over http in production, not even on this host', async () => {
    const production = await startTestService({
      env: { ...mintmark.environment, NODE_ENV: 'production', MINTMARK_SNAPSHOT_DIR: '' },
      database: mintmark.database,
      overrides: { clock },
    })
    try {
      const requested = one.requests
      type Fetches = { fetch: { last_error: { message: string } | null } | null }[]
      const fetches = async (): Promise<Fetches> =>
        (await production.admin('GET', '/identity-providers')).body.data
      const tried = await until(
        'it tried',
        fetches,
        all => all.length === 2 && all.every(({ fetch }) => fetch?.last_error),
      )
      for (const { fetch } of tried) expect(fetch?.last_error?.message).toContain('begin with https')
      expect(await exchange(one, old, production)).toBe(503)
      expect(one.requests).toBe(requested)
    } finally {
      await production.stop()
    }
  })

  it('rotates its keys under load, and no exchange fails', async () => {
    const statuses: number[] = []
    const load = { signer: old, over: false }
    const client = async () => {
      while (!load.over) statuses.push(await exchange(one, load.signer))
    }
    const running = Promise.all([client(), client(), client(), client()])
    try {
      await publish(one, old, next)
      await until('the new key is known', async () => (await exchange(one, next)) === 200)
      load.signer = next
      const before = statuses.length
      // What was signed with the old key has been answered.
      await until('each has used the new key', () => statuses.length >= before + 8)
      await publish(one, next)
      await until('the old key is gone', async () => (await exchange(one, old)) === 400)
    } finally {
      load.over = true
      await running
    }
    expect(statuses.length).toBeGreaterThan(8)
    expect(statuses.filter(status => status !== 200)).toEqual([])
  })

  it('is down: exchanges continue until its keys are too old, and then only its own fail', async () => {
    one.down = true
    await forward(301)
    await until('a failure', async () => (await health('mintmark_identity_provider_fetch_failures')) >= 3)
    expect(await exchange(one, next)).toBe(200)
    const shown = (await mintmark.admin('GET', '/identity-providers?limit=100')).body.data
    const fetches = shown.map(({ fetch }: { fetch: { failures: number } }) => fetch)
    expect(fetches.find(({ failures }: { failures: number }) => failures > 0)).toEqual({
      last_success_at: expect.any(String),
      failures: expect.any(Number),
      last_error: {
        kind: 'connection',
        message: expect.stringContaining('ECONNRESET'),
        at: expect.any(String),
      },
      next_at: expect.toSatisfy(at => at === null || typeof at === 'string'),
    })
    expect(fetches.find(({ failures }: { failures: number }) => failures === 0)).toMatchObject({
      last_error: null,
      next_at: expect.any(String),
    })
    expect(await health('mintmark_identity_provider_fetches_total{result="connection"}')).toBeGreaterThan(2)
    const alarm = 'the keys of an identity provider cannot be fetched'
    await until('the alarm', () => mintmark.logs.some(line => line.includes(alarm)))
    await forward(400)
    expect(await exchange(one, next)).toBe(503)
    expect(await exchange(two, another)).toBe(200)
    one.down = false
    await until('it is back', async () => {
      await forward(60)
      return (await exchange(one, next)) === 200
    })
  })
})

async function health(name: string): Promise<number> {
  const { series } = await scrape(mintmark.service.urls.ops)
  return Math.max(...[...series].filter(([key]) => key.startsWith(name)).map(([, value]) => value))
}
