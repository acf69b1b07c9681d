import { type ClientHttp2Session, connect } from 'node:http2'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { systemRandom } from '../../src/system/random.ts'
import { until } from '../support/until.ts'
import { deployedEnvoy } from './environment.ts'
import { type Envoy, noEnvoy, startEnvoy } from './envoy.ts'
import { envoyGatewayConfig } from './envoy-gateway-config.ts'
import { pilotConfig } from './pilot-config.ts'
import { startTestMint, type TestMint } from './test-mint.ts'

/** As many streams as one connection may have, each with a body below the size that Envoy's overload manager ignored. */
const STREAMS = 100
const BODY_BYTES = 1_000_000
/** A fifth of what the client sends. Envoy holds at most its buffer limit and one window of each stream. */
const HELD_BYTES = (STREAMS * BODY_BYTES) / 5

/** Accepts connections and never answers: a Mintmark that is too slow. */
let silent: Server
let mint: TestMint
let ports: { silent: number; mint: number }
beforeAll(async () => {
  silent = createServer(socket => socket.on('error', () => socket.destroy()).resume())
  await new Promise<void>(resolve => silent.listen(0, '127.0.0.1', resolve))
  mint = await startTestMint()
  ports = { silent: (silent.address() as AddressInfo).port, mint: Number(new URL(mint.url).port) }
})
afterAll(async () => {
  silent.close()
  await mint.stop()
})

const plain = (more: [string, string][], name: string) =>
  deployedEnvoy({ jwks: ports.mint, upstream: ports.silent }, more, name)
const checkedBy = (port: number): [string, string] => [
  `address: mintmark, port_value: ${port}`,
  `address: 127.0.0.1, port_value: ${ports.silent}`,
]

const istio = async (applied: 'record' | 'record-api-keys' | 'record-static') => {
  const inline = await (await fetch(`${mint.url}/.well-known/jwks.json`)).text()
  return startEnvoy(
    pilotConfig({ upstreamPort: ports.silent, jwks: { inline }, applied, gatewayPort: ports.silent }),
  )
}

const unknownKey = formatCredential('mmk', randomId(systemRandom), systemRandom)
const CREDENTIALS: [what: string, authorization?: string][] = [
  ['no credential'],
  ['what only looks like a token', 'bearer eyJhIjoxfQ.eyJhIjoxfQ.eA'],
  ['an unknown key', `Bearer ${unknownKey}`],
]

describe.skipIf(noEnvoy).each([
  ['deploy/envoy/envoy.yaml', () => plain([], 'envoy.yaml')],
  ['deploy/envoy/envoy-api-keys.yaml', () => plain([checkedBy(8082)], 'envoy-api-keys.yaml')],
  [
    'deploy/envoy/envoy-api-keys-grpc.yaml',
    () => plain([checkedBy(8082), checkedBy(8083)], 'envoy-api-keys-grpc.yaml'),
  ],
  ['deploy/istio', () => istio('record')],
  ['deploy/istio/api-keys', () => istio('record-api-keys')],
  ['deploy/istio/static', () => istio('record-static')],
  [
    'deploy/envoy-gateway',
    () => startEnvoy(envoyGatewayConfig({ 8000: ports.silent, 8080: ports.mint, 8082: ports.silent })),
  ],
])('%s holds no bodies', (_, start) => {
  let envoy: Envoy
  beforeAll(async () => {
    envoy = await start()
  })
  afterAll(() => envoy?.stop())

  it.each(CREDENTIALS)('with %s, while Mintmark does not answer', async (_what, authorization) => {
    const before = await allocated(envoy)
    let most = 0
    const session = connect(envoy.url, { maxSessionMemory: 1_000 }).on('error', () => {})
    const answered = flood(session, authorization)
    let done = false
    void answered.then(() => {
      done = true
    })
    await until(
      'every stream is answered',
      async () => {
        most = Math.max(most, (await allocated(envoy)) - before)
        return done
      },
      Boolean,
      60_000,
    )
    session.destroy()
    const statuses = await answered
    expect(statuses.filter(status => ![401, 403, 503].includes(status))).toEqual([])
    expect(most).toBeLessThan(HELD_BYTES)
  })
})

/** Sends every body but its last byte. Returns the statuses. */
function flood(session: ClientHttp2Session, authorization: string | undefined): Promise<number[]> {
  const body = Buffer.alloc(BODY_BYTES - 1, ' ')
  return Promise.all(
    Array.from({ length: STREAMS }, () => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/v1/chat/completions',
        'content-type': 'application/json',
        'content-length': BODY_BYTES,
        ...(authorization && { authorization }),
      })
      stream.on('error', () => {}).resume()
      stream.write(body)
      return new Promise<number>(resolve => {
        stream.once('response', headers => resolve(Number(headers[':status'])))
        stream.once('close', () => resolve(0))
      })
    }),
  )
}

async function allocated(envoy: Envoy): Promise<number> {
  const memory = (await (await fetch(`${envoy.adminUrl}/memory`)).json()) as { allocated: string }
  return Number(memory.allocated)
}
