import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../support/new-key.ts'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { makeReporter, type UsageRow } from '../usage/reports.ts'
import { usageOf } from '../usage/usage-of.ts'
import { chat, send } from './client.ts'
import { startMintmark } from './environment.ts'
import { ODD_ANSWERS, ODD_REQUESTS, type OddAnswer, type OddRequest } from './odd-answers.ts'
import { REPORTING_GATEWAYS, type ReportingGateway } from './reporting-gateways.ts'

/** Gateways that report usage, in front of an engine whose answers are as odd as odd-answers.ts. */

const MODEL = 'llama-3-8b'

interface OddEngine {
  port: number
  answers(next: OddAnswer['answer']): void
  /** The client has read so many more bytes of the answer. */
  wasRead(bytes: number): void
  stop(): Promise<void>
}

async function startOddEngine(): Promise<OddEngine> {
  let next: OddAnswer['answer'] = () => ({ pieces: [] })
  let read = 0
  const server = createServer(async (received, response) => {
    await received.toArray().catch(() => [])
    const { type = 'application/json', encoding, pieces, breaks } = next(received.headers['accept-encoding'])
    response.writeHead(200, { 'content-type': type, ...(encoding && { 'content-encoding': encoding }) })
    response.socket?.setNoDelay()
    for (const piece of pieces) {
      response.write(piece)
      // A turn of the loop, so that pieces are packets of their own.
      await sleep(0)
    }
    if (!breaks) return response.end()
    // Otherwise a gateway may see the end together with the last piece, and drop both.
    const written = Buffer.concat(pieces.map(piece => Buffer.from(piece))).length
    await until(
      'the client has read all',
      () => read,
      bytes => bytes >= written,
    )
    return response.destroy()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    answers: answer => {
      next = answer
      read = 0
    },
    wasRead: bytes => {
      read += bytes
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

describe.each(REPORTING_GATEWAYS)('$name', ({ isMissing, start }) => {
  let mintmark: TestService
  let engine: OddEngine
  let gateway: ReportingGateway
  beforeAll(async () => {
    if (isMissing) return
    mintmark = await startMintmark({ MINTMARK_OTLP_HTTP_PORT: '0', MINTMARK_SIGNING_ALG: 'RS256' })
    await mintmark.admin('POST', '/tenants', { id: 'acme', models: [MODEL] })
    engine = await startOddEngine()
    gateway = await start({ mintmark, engine: engine.port, secret: (await makeReporter(mintmark)).secret })
  })
  afterAll(async () => {
    await gateway?.stop()
    await engine?.stop()
    await mintmark?.stop()
  })

  it.skipIf(isMissing)('counts each odd answer as far as it can be read', async () => {
    const keys: string[] = []
    for (const { path = '/v1/chat/completions', sent = {}, headers = [], answer } of ODD_ANSWERS) {
      const key = await newKey(mintmark, 'acme')
      keys.push(key.id)
      engine.answers(answer)
      const onPiece = (piece: Buffer) => engine.wasRead(piece.length)
      const request = { path, token: key.token, headers, body: chat(MODEL, sent), onPiece }
      const result = send(gateway.url, request)
      // An engine that breaks off.
      await result.catch(() => {})
    }
    const found: [string, object][] = []
    for (const [index, { name, counted }] of ODD_ANSWERS.entries()) {
      const row = await usageOf(mintmark, keys[index] ?? '')
      const fields = Object.keys(counted) as (keyof UsageRow)[]
      found.push([name, Object.fromEntries(fields.map(field => [field, row[field]]))])
    }
    expect(found).toEqual(ODD_ANSWERS.map(({ name, counted }) => [name, counted]))
  })

  it.skipIf(isMissing)('counts no odd request as one of inference', async () => {
    engine.answers(() => ({ pieces: ['{}'] }))
    const keys: string[] = []
    const ask = async (request: OddRequest['request']) => {
      const key = await newKey(mintmark, 'acme')
      await send(gateway.url, { body: chat(MODEL), token: key.token, ...request(key.token) })
      return key.id
    }
    for (const { request } of ODD_REQUESTS) keys.push(await ask(request))
    // What was reported before is counted before.
    await usageOf(mintmark, await ask(() => ({})))
    for (const [index, { name, counted }] of ODD_REQUESTS.entries()) {
      const key = keys[index] ?? ''
      if (counted === 'refused')
        expect(await usageOf(mintmark, key), name).toMatchObject({
          requests: 0,
          refused_requests: 1,
          input_tokens: 0,
        })
      const { body } = await mintmark.admin('GET', `/usage?group_by=tenant&key=${key}`)
      const { requests = 0, input_tokens = 0, output_tokens = 0 } = body.data[0] ?? {}
      expect({ name, requests, input_tokens, output_tokens }).toEqual({
        ...{ name, requests: 0, input_tokens: 0, output_tokens: 0 },
      })
    }
    const tenants = (await mintmark.admin('GET', '/usage?group_by=tenant')).body.data
    expect(tenants.map(({ tenant }: { tenant: string }) => tenant)).toEqual(['acme'])
  })
})
