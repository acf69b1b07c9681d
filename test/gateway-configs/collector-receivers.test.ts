import { connect } from 'node:net'
import { credentials, Metadata } from '@grpc/grpc-js'
import { OTLPLogExporter as GrpcExporter } from '@opentelemetry/exporter-logs-otlp-grpc'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestService } from '../support/test-service.ts'
import { logRecords, makeReporter, type Request, send } from '../usage/reports.ts'
import { usageOf } from '../usage/usage-of.ts'
import { type Collector, noCollector, startCollector } from './collector.ts'
import { startMintmark } from './environment.ts'

/** Who can make the Collector of deploy/otel-collector/usage.yaml report usage. */

describe.skipIf(noCollector)('The Collector', () => {
  let mintmark: TestService
  let collector: Collector
  let secret: string
  beforeAll(async () => {
    mintmark = await startMintmark({ MINTMARK_OTLP_HTTP_PORT: '0' })
    secret = (await makeReporter(mintmark)).secret
    collector = await startCollector({ url: mintmark.service.urls.otlpHttp ?? '', secret })
  })
  afterAll(async () => {
    await collector?.stop()
    await mintmark?.stop()
  })

  const overHttp = (request: Request, shown: string) =>
    send(`http://127.0.0.1:${collector.httpPort}`, shown, logRecords([request]))
  function overGrpc(request: Request, shown: string): Promise<void> {
    const metadata = new Metadata()
    metadata.set('authorization', `Bearer ${shown}`)
    const url = `http://127.0.0.1:${collector.grpcPort}`
    const exporter = new GrpcExporter({ url, metadata, credentials: credentials.createInsecure() })
    return new Promise<void>((resolve, reject) => {
      exporter.export(logRecords([request]), ({ code, error }) =>
        code === 0 ? resolve() : reject(error ?? new Error('failed')),
      )
    }).finally(() => exporter.shutdown())
  }

  it.each([
    ['HTTP', overHttp],
    ['gRPC', overGrpc],
  ])('accepts reports over %s only with its secret', async (name, report) => {
    const { keyId: key } = await mintmark.tenantWithKey({ id: `by-${name.toLowerCase()}` })
    const request = { id: '', tenant: `by-${name.toLowerCase()}`, key }
    for (const shown of ['', 'mmr_REPORTER', `${secret}x`])
      await expect(report({ ...request, id: `${name}-${shown}` }, shown)).rejects.toThrow()
    await report({ ...request, id: `${name}-good` }, secret)
    expect(await usageOf(mintmark, key)).toMatchObject({ requests: 1 })
  })

  // On Linux all of 127.0.0.0/8 are addresses of this machine.
  it('takes the lines of HAProxy at 127.0.0.1 only', async () => {
    const connects = (address: string) =>
      new Promise(resolve => {
        const socket = connect(collector.linePort, address, () => resolve(true))
        socket.once('error', () => resolve(false))
        socket.once('connect', () => socket.destroy())
      })
    expect([await connects('127.0.0.1'), await connects('127.0.0.2')]).toEqual([true, false])
  })
})
