import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { cliOf } from '../cli/mintmark.ts'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { send } from './client.ts'
import { startMintmark } from './environment.ts'
import { type Envoy, noEnvoy, startEnvoy, substitute } from './envoy.ts'

/** Envoy with `npm run generate -- --revocations`: it rejects revoked tokens by itself, and keeps doing so without Mintmark. */

const TOKEN = 'x'.repeat(32)
/** With all that is below it. */
const API_CONFIG_SOURCE = /api_config_source:\n(?: {26,}.*\n)+?(?= +type_urls)/
/** A free port with no server. */
const NOWHERE = 1
/** Generous: the machine may be busy. What is asserted is the answer. */
const BUSY = 20_000

let upstream: RecordingUpstream
let mintmark: TestService
let started: Envoy[] = []
beforeAll(async () => {
  if (noEnvoy) return
  upstream = await startRecordingUpstream()
  mintmark = await startMintmark({ MINTMARK_XDS_TOKENS: TOKEN, MINTMARK_XDS_PORT: '0' })
})
afterAll(async () => {
  for (const envoy of started) await envoy.stop()
  started = []
  await upstream?.stop()
})

const xdsPort = () => mintmark.service.addresses.xds?.port ?? NOWHERE

async function envoyWith(
  withoutList: 'open' | 'closed',
  more: { port?: number; token?: string; change?: (file: string) => string } = {},
): Promise<Envoy> {
  const { port = xdsPort(), token = TOKEN, change = text => text } = more
  const jwks = Number(new URL(mintmark.service.urls.public).port)
  const file = deployFiles(undefined, withoutList)['deploy/envoy/envoy.yaml'] ?? ''
  const changed = substitute(file, [
    ['address: mintmark, port_value: 8080', `address: 127.0.0.1, port_value: ${jwks}`],
    ['address: mintmark, port_value: 8086', `address: 127.0.0.1, port_value: ${port}`],
    ['address: vllm, port_value: 8000', `address: 127.0.0.1, port_value: ${upstream.port}`],
    ['address: 0.0.0.0, port_value: 10000', 'address: 127.0.0.1, port_value: 0'],
    ['address: 127.0.0.1, port_value: 9901', 'address: 127.0.0.1, port_value: 0'],
    ['change-me-change-me-change-me-change-me', token],
    ['initial_fetch_timeout: 5s', 'initial_fetch_timeout: 0.5s'],
  ])
  const envoy = await startEnvoy(change(changed))
  started.push(envoy)
  return envoy
}

const tokenOf = async (secret: string): Promise<string> =>
  (await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })).body.access_token
const statusOf = async (envoy: Envoy, token: string) => (await send(envoy.url, { token })).status
const becomes = (envoy: Envoy, token: string, status: number) =>
  until(
    `${status}`,
    () => statusOf(envoy, token),
    found => found === status,
    BUSY,
  )

/** Stands for envoyproxy/ratelimit, which CI has not: nothing is over a limit, and checks of requests are counted. */
async function startRateLimits(): Promise<{ port: number; checks(): number; stop(): void }> {
  let checks = 0
  const same = (bytes: Buffer) => bytes
  const server = new Server()
  server.addService(
    {
      shouldRateLimit: {
        path: '/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit',
        ...{ requestStream: false, responseStream: false },
        ...{ requestSerialize: same, requestDeserialize: same },
        ...{ responseSerialize: same, responseDeserialize: same },
      },
    },
    {
      shouldRateLimit: (call: { request: Buffer }, answer: (error: null, response: Buffer) => void) => {
        if (call.request.includes('tenant_requests')) checks += 1
        // overall_code: OK.
        answer(null, Buffer.from([8, 1]))
      },
    },
  )
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  )
  return { port, checks: () => checks, stop: () => server.forceShutdown() }
}

describe.skipIf(noEnvoy)('Envoy with the list of revoked tokens', () => {
  it('rejects a revoked token, a key, a tenant, and no other, and the engine sees no header of it', async () => {
    const envoy = await envoyWith('open')
    const mine = await mintmark.tenantWithKey()
    const { body: sibling } = await mintmark.admin('POST', `/tenants/${mine.tenantId}/keys`, {})
    const stranger = await mintmark.tenantWithKey()
    const [one, two, ofSibling, ofStranger] = [
      await tokenOf(mine.secret),
      await tokenOf(mine.secret),
      await tokenOf(sibling.secret),
      await tokenOf(stranger.secret),
    ]
    for (const token of [one, two, ofSibling, ofStranger]) expect(await statusOf(envoy, token)).toBe(200)
    const seen = Object.keys(upstream.requests.at(-1)?.headers ?? {})
    expect(seen.filter(name => name.startsWith('x-mintmark'))).toEqual([])
    const { jti } = JSON.parse(Buffer.from(one.split('.')[1] ?? '', 'base64url').toString())
    await mintmark.admin('POST', '/token-revocations', { jti })
    await becomes(envoy, one, 401)
    expect(await statusOf(envoy, two)).toBe(200)
    await mintmark.admin('POST', '/token-revocations', { key: mine.keyId })
    await becomes(envoy, two, 401)
    expect(await statusOf(envoy, ofSibling)).toBe(200)
    await mintmark.admin('POST', `/tenants/${mine.tenantId}/suspend`)
    await becomes(envoy, ofSibling, 401)
    expect(await statusOf(envoy, ofStranger)).toBe(200)
    const { headers, text } = await send(envoy.url, { token: ofSibling })
    expect(JSON.parse(text).error).toMatchObject({ type: 'authentication_error', code: 'invalid_token' })
    expect(headers['www-authenticate']).toContain('invalid_token')
    // A client cannot name the claims itself.
    const forged: [string, string][] = [
      ['x-mintmark-jti', jti],
      ['X-Mintmark-Key-Epoch', 'a'],
    ]
    expect((await send(envoy.url, { token: ofStranger, headers: forged })).status).toBe(200)
  })

  it('a revoked token uses up no limit: the list is before the limits', async () => {
    const service = await startRateLimits()
    try {
      const ports = mintmark.service.addresses
      const file = deployFiles(undefined, 'open')['deploy/envoy/envoy-limits.yaml'] ?? ''
      const local = (port: number | undefined) => `address: 127.0.0.1, port_value: ${port}`
      const envoy = await startEnvoy(
        substitute(file, [
          ['address: mintmark, port_value: 8080', local(ports.public?.port)],
          ['address: mintmark, port_value: 8082', local(ports.gateway?.port)],
          ['address: mintmark, port_value: 8083', local(ports.gatewayGrpc?.port)],
          ['address: mintmark, port_value: 8086', local(xdsPort())],
          ['address: ratelimit, port_value: 8081', local(service.port)],
          ['address: vllm, port_value: 8000', local(upstream.port)],
          ['address: 0.0.0.0, port_value: 10000', local(0)],
          ['address: 127.0.0.1, port_value: 9901', local(0)],
          ['change-me-change-me-change-me-change-me', TOKEN],
        ]),
      )
      started.push(envoy)
      const mine = await mintmark.tenantWithKey({ limits: { requests_per_minute: 1_000 } })
      const token = await tokenOf(mine.secret)
      expect(await statusOf(envoy, token)).toBe(200)
      await expect.poll(() => service.checks(), { timeout: BUSY }).toBe(1)
      await mintmark.admin('POST', '/token-revocations', { key: mine.keyId })
      await becomes(envoy, token, 401)
      const before = service.checks()
      for (let time = 0; time < 5; time++) expect(await statusOf(envoy, token)).toBe(401)
      // What another tenant is checked for comes after whatever the revoked token would have caused.
      const other = await mintmark.tenantWithKey({ limits: { requests_per_minute: 1_000 } })
      expect(await statusOf(envoy, await tokenOf(other.secret))).toBe(200)
      await expect.poll(() => service.checks(), { timeout: BUSY }).toBe(before + 1)
    } finally {
      service.stop()
    }
  })

  it('starts open or closed without Mintmark, and with a wrong token', async () => {
    const { secret } = await mintmark.tenantWithKey()
    const token = await tokenOf(secret)
    const open = await envoyWith('open', { port: NOWHERE })
    const closed = await envoyWith('closed', { port: NOWHERE })
    const stranger = await envoyWith('closed', { token: 'y'.repeat(32) })
    expect(await statusOf(open, token)).toBe(200)
    const { status, headers, text } = await send(closed.url, { token })
    expect([status, headers['retry-after'], JSON.parse(text).error.code]).toEqual([503, '1', 'unavailable'])
    expect(await statusOf(stranger, token)).toBe(503)
  })

  it('a closed one opens with the first list, and rejects what was revoked before it started', async () => {
    const mine = await mintmark.tenantWithKey()
    const [revoked, live] = [
      await tokenOf(mine.secret),
      await tokenOf((await mintmark.tenantWithKey()).secret),
    ]
    await mintmark.admin('POST', `/keys/${mine.keyId}/revoke`, { reason: 'test' })
    const envoy = await envoyWith('closed')
    await becomes(envoy, live, 200)
    expect(await statusOf(envoy, revoked)).toBe(401)
  })

  it('reads the list from a file that the command writes, and again when it is replaced', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mintmark-list-'))
    const file = join(folder, 'list.json')
    const write = () => cliOf(mintmark).run('token', 'revocations', '--envoy-file', file)
    const { keyId, secret } = await mintmark.tenantWithKey()
    const token = await tokenOf(secret)
    await write()
    const fromFile = `path_config_source: { path: ${file} }`
    const envoy = await envoyWith('closed', {
      change: text => text.replace(API_CONFIG_SOURCE, `${fromFile}\n`),
    })
    expect(await statusOf(envoy, token)).toBe(200)
    await mintmark.admin('POST', '/token-revocations', { key: keyId })
    await write()
    await becomes(envoy, token, 401)
    await rm(folder, { recursive: true })
  })

  // The last one: Mintmark is stopped.
  it('rejects after the answer of the admin API, printing how soon, and after Mintmark was stopped', async () => {
    const envoy = await envoyWith('open')
    const waits: number[] = []
    const ended: string[] = []
    for (let round = 0; round < 10; round++) {
      const mine = await mintmark.tenantWithKey()
      const token = await tokenOf(mine.secret)
      expect(await statusOf(envoy, token)).toBe(200)
      await mintmark.admin('POST', '/token-revocations', { key: mine.keyId })
      const begun = performance.now()
      await becomes(envoy, token, 401)
      waits.push(Math.round(performance.now() - begun))
      ended.push(token)
    }
    console.log(
      `from the 200 of the admin API to the refusal, ms: ${waits.toSorted((a, b) => a - b).join(' ')}`,
    )
    const live = await tokenOf((await mintmark.tenantWithKey()).secret)
    await mintmark.stop()
    for (const token of ended) expect(await statusOf(envoy, token)).toBe(401)
    expect(await statusOf(envoy, live)).toBe(200)
  })
})
