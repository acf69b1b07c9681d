import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type RecordingUpstream, startRecordingUpstream } from '../support/recording-upstream.ts'
import { timed, until } from '../support/until.ts'
import { chat } from './client.ts'
import { withoutSalt } from './entitlement-cases.ts'
import { deployedEnvoy } from './environment.ts'
import { type Envoy, noEnvoy, startEnvoy, substitute } from './envoy.ts'
import { pilotConfig } from './pilot-config.ts'
import { startTestMint, type TestMint } from './test-mint.ts'

const UNREAD = 100
const LONG_BODY = chat('llama-3-8b', { image: 'A'.repeat(4_100_000) })
/** Each way, as between continents. */
const DELAY_MS = 50
/** Each takes twice that. */
const MOST_ROUND_TRIPS = 20

let mint: TestMint
let upstream: RecordingUpstream
beforeAll(async () => {
  if (noEnvoy) return
  mint = await startTestMint()
  upstream = await startRecordingUpstream()
})
afterAll(async () => {
  await upstream?.stop()
  await mint?.stop()
})
beforeEach(() => upstream?.forget())

const plain = (changes: [string, string][]) =>
  deployedEnvoy({ jwks: Number(new URL(mint.url).port), upstream: upstream.port }, changes)

async function istio(changes: [string, string][]): Promise<Envoy> {
  const inline = await (await fetch(`${mint.url}/.well-known/jwks.json`)).text()
  return startEnvoy(substitute(pilotConfig({ upstreamPort: upstream.port, jwks: { inline } }), changes))
}

describe.skipIf(noEnvoy)('HTTP/2 at Envoy', () => {
  it.each([
    ['deploy/envoy', () => plain([['stream_flush_timeout: 30s', 'stream_flush_timeout: 1s']])],
    ['deploy/istio', () => istio([['"stream_flush_timeout": "30s"', '"stream_flush_timeout": "1s"']])],
  ])('%s ends rejected requests whose answers are not read', async (_, start) => {
    const envoy = await start()
    const session = connectHttp2(envoy.url, { settings: { initialWindowSize: 0 } })
    session.on('error', () => {})
    try {
      const streams = Array.from({ length: UNREAD }, () => {
        const stream = session.request({ ':method': 'POST', ':path': '/v1/chat/completions' })
        stream.on('error', () => {}).end('{}')
        return stream
      })
      await until('all are closed', () => streams.every(stream => stream.closed), Boolean)
      expect(upstream.requests).toHaveLength(0)
    } finally {
      session.destroy()
      await envoy.stop()
    }
  })

  it.each([
    ['deploy/envoy', () => plain([])],
    ['deploy/istio', () => istio([])],
  ])('%s takes a long body in time from far away', async (_, start) => {
    const envoy = await start()
    const far = await startFarAway(Number(new URL(envoy.url).port))
    const session = connectHttp2(`http://127.0.0.1:${far.port}`)
    try {
      const authorization = `Bearer ${await mint.sign()}`
      const { ms, result } = await timed(() => {
        const stream = session.request({
          ...{ ':method': 'POST', ':path': '/v1/chat/completions' },
          ...{ authorization, 'content-type': 'application/json' },
        })
        stream.end(LONG_BODY)
        stream.resume()
        return new Promise(resolve => stream.once('response', headers => resolve(headers[':status'])))
      })
      const { initialWindowSize = 0 } = session.remoteSettings
      console.log(`4.1 MB over HTTP/2, ${DELAY_MS} ms each way: ${ms.toFixed(0)} ms`)
      expect(result).toBe(200)
      expect(withoutSalt(upstream.theRequest().body)).toHaveLength(LONG_BODY.length)
      expect(LONG_BODY.length / initialWindowSize).toBeLessThan(MOST_ROUND_TRIPS)
    } finally {
      session.destroy()
      far.stop()
      await envoy.stop()
    }
  })

  it('deploy/envoy ends idle connections early when most are in use', async () => {
    const envoy = await plain([
      ['max_active_downstream_connections: 10000', 'max_active_downstream_connections: 20'],
    ])
    const sockets: Socket[] = []
    const closed = new Set<Socket>()
    try {
      for (let i = 0; i < 19; i++) {
        const socket = connect({ host: '127.0.0.1', port: Number(new URL(envoy.url).port) })
        socket.on('error', () => {}).once('close', () => closed.add(socket))
        sockets.push(socket)
      }
      await until('some are closed', () => closed.size, Boolean)
    } finally {
      for (const socket of sockets) socket.destroy()
      await envoy.stop()
    }
  })
})

/** Forwards to this port, and delays all bytes in both directions. */
async function startFarAway(port: number): Promise<{ port: number; stop(): void }> {
  const sockets = new Set<Socket>()
  const server = createServer(near => {
    const far = connect({ host: '127.0.0.1', port })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy()).once('close', () => to.destroy())
      from.on('data', bytes => {
        setTimeout(() => to.destroyed || to.write(bytes), DELAY_MS)
      })
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}
