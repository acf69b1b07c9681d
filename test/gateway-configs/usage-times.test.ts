import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { recordsInProtobuf } from '../../src/telemetry/otlp-protobuf.ts'
import { ATTRIBUTES, type ReportedRecord } from '../../src/usage/usage-record.ts'
import { newKey } from '../support/new-key.ts'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { send } from './client.ts'
import { startMintmark } from './environment.ts'
import { REPORTING_GATEWAYS, type ReportingGateway } from './reporting-gateways.ts'

/** When a request ended, as each gateway reports it. */

async function listening(
  handle: Parameters<typeof createServer>[1],
): Promise<{ port: number; stop(): Promise<void> }> {
  const server = createServer({}, handle)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

describe.each(REPORTING_GATEWAYS)('$name reports', ({ isMissing, start }) => {
  const reported: ReportedRecord[] = []
  let answeredAt = 0
  let mintmark: TestService
  let engine: { port: number; stop(): Promise<void> }
  let receiver: { port: number; stop(): Promise<void> }
  let gateway: ReportingGateway
  beforeAll(async () => {
    if (isMissing) return
    mintmark = await startMintmark({ MINTMARK_OTLP_HTTP_PORT: '0', MINTMARK_SIGNING_ALG: 'RS256' })
    await mintmark.admin('POST', '/tenants', { id: 'acme', models: ['llama-3-8b'] })
    engine = await listening(async (request, response) => {
      await request.toArray()
      // Far longer than from the client to here.
      await sleep(500)
      answeredAt = Date.now()
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"usage":')
      await sleep(50)
      response.end('{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}')
    })
    receiver = await listening(async (request, response) => {
      const body = Buffer.concat(await request.toArray())
      const isPacked = request.headers['content-encoding'] === 'gzip'
      for (const read of recordsInProtobuf(isPacked ? gunzipSync(body) : body, ATTRIBUTES))
        reported.push(read())
      response.setHeader('content-type', 'application/x-protobuf').end()
    })
    const { service } = mintmark
    const url = `http://127.0.0.1:${receiver.port}`
    const address = { host: '127.0.0.1', port: receiver.port }
    const reporting = {
      ...{ urls: { ...service.urls, otlpHttp: url }, addresses: { ...service.addresses, otlpHttp: address } },
    } as TestService['service']
    gateway = await start({
      mintmark: { ...mintmark, service: reporting },
      engine: engine.port,
      secret: 'mmr_1',
    })
  })
  afterAll(async () => {
    await gateway?.stop()
    await receiver?.stop()
    await engine?.stop()
    await mintmark?.stop()
  })

  it.skipIf(isMissing)('an end that is not before the answer', async () => {
    const { token } = await newKey(mintmark, 'acme')
    expect((await send(gateway.url, { token })).status).toBe(200)
    const [record] = await until(
      'it is reported',
      () => reported,
      records => records.length > 0,
    )
    const duration = Number(record?.attributes.get('mintmark.request.duration_ms') ?? 0)
    expect(Number(record?.at) + duration).toBeGreaterThanOrEqual(answeredAt)
    expect(Number(record?.at) + duration).toBeLessThanOrEqual(Date.now())
  })
})
