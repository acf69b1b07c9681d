import { appendFile, copyFile, rename, truncate, writeFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKey } from '../support/new-key.ts'
import type { TestService } from '../support/test-service.ts'
import { makeReporter } from '../usage/reports.ts'
import { type Collector, noCollector, startCollector } from './collector.ts'
import { startMintmark } from './environment.ts'

/** Files of nginx's log as they are on machines, read by the Collector with deploy/otel-collector/usage.yaml. */

describe.skipIf(noCollector)('The Collector reads a log of nginx', () => {
  let mintmark: TestService
  let collector: Collector
  beforeAll(async () => {
    mintmark = await startMintmark({ MINTMARK_OTLP_HTTP_PORT: '0' })
    await mintmark.admin('POST', '/tenants', { id: 'acme', models: ['llama-3-8b'] })
    const { secret } = await makeReporter(mintmark)
    collector = await startCollector({ url: mintmark.service.urls.otlpHttp ?? '', secret })
  })
  afterAll(async () => {
    await collector?.stop()
    await mintmark?.stop()
  })

  let written = 0
  /** As usage.js writes it. */
  const line = (key: string, changes: Record<string, string> = {}) =>
    `${JSON.stringify({
      time: (Date.now() / 1000).toFixed(3),
      'mintmark.request.id': `request-${written++}`,
      ...{ 'mintmark.tenant': 'acme', 'mintmark.key': key, 'mintmark.audience': 'vllm' },
      ...{ 'mintmark.outcome': 'completed', 'http.response.status_code': '200' },
      ...{ 'gen_ai.usage.input_tokens': '11', 'gen_ai.usage.output_tokens': '5' },
      ...changes,
    })}\n`

  const requestsOf = async (key: string) =>
    (await mintmark.admin('GET', `/usage?group_by=tenant&key=${key}`)).body.data[0]?.requests ?? 0
  const isCounted = (key: string, requests: number) =>
    expect.poll(() => requestsOf(key), { timeout: 30_000, interval: 200 }).toBe(requests)

  it('with half a line at its end, which is written later', async () => {
    const { id } = await newKey(mintmark, 'acme')
    const whole = line(id)
    await appendFile(collector.nginxLog, line(id) + whole.slice(0, 100))
    await isCounted(id, 1)
    await appendFile(collector.nginxLog, whole.slice(100))
    await isCounted(id, 2)
  })

  it('with lines that are no JSON, no UTF-8, empty, cut off, and longer than is read', async () => {
    const { id } = await newKey(mintmark, 'acme')
    const odd = [
      Buffer.from('\n\r\n'),
      Buffer.from([0xff, 0xfe, 0x00, 0x01, 0x0a]),
      Buffer.from('[1,2]\n"text"\nnull\n{}\n{"time":"x"}\n'),
      Buffer.from(line(id).slice(0, 120)),
      Buffer.from(`{"mintmark.tenant":"${'x'.repeat(200_000)}"}\n`),
      Buffer.from(line(id, { 'gen_ai.request.model': '\u202eא,"\n\t' })),
      Buffer.from(line(id, { 'gen_ai.request.model': '\u00ff\u00fe' }), 'latin1'),
    ]
    for (const each of odd) await appendFile(collector.nginxLog, Buffer.concat([each, Buffer.from(line(id))]))
    // The whole line behind each but the one that is cut off, and those of the last two.
    await isCounted(id, odd.length - 1 + 2)
  })

  it('that is rotated by renaming, while nginx still writes to the old file', async () => {
    const { id } = await newKey(mintmark, 'acme')
    const old = `${collector.nginxLog}.1`
    await appendFile(collector.nginxLog, line(id))
    await rename(collector.nginxLog, old)
    await appendFile(old, line(id) + line(id))
    await writeFile(collector.nginxLog, line(id))
    await isCounted(id, 4)
    await appendFile(collector.nginxLog, line(id))
    await isCounted(id, 5)
  })

  it('that is rotated while the Collector is down', async () => {
    const { id } = await newKey(mintmark, 'acme')
    await appendFile(collector.nginxLog, line(id))
    await isCounted(id, 1)
    await collector.kill()
    await appendFile(collector.nginxLog, line(id))
    await rename(collector.nginxLog, `${collector.nginxLog}.1`)
    await writeFile(collector.nginxLog, line(id))
    await collector.start()
    await isCounted(id, 3)
  })

  it('that is copied and cut to nothing (copytruncate)', async () => {
    const { id } = await newKey(mintmark, 'acme')
    await appendFile(collector.nginxLog, line(id) + line(id))
    await isCounted(id, 2)
    await appendFile(collector.nginxLog, line(id))
    await copyFile(collector.nginxLog, `${collector.nginxLog}.1`)
    await truncate(collector.nginxLog)
    await appendFile(collector.nginxLog, line(id))
    await isCounted(id, 4)
  })
})
