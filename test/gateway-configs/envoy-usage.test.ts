import { readFileSync } from 'node:fs'
import { createServer, request as httpRequest, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { ISSUER } from '../../deploy/generate/example.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { makeReporter, receiverOf } from '../usage/reports.ts'
import { type Envoy, noEnvoy, startEnvoy, substitute } from './envoy.ts'

/** deploy/envoy/envoy.yaml with the additions of docs/guides/usage.md, on the real Envoy, in front of the real receiver. */

// biome-ignore lint/suspicious/noExplicitAny: a file of Envoy
type Yaml = any
const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const additions = () => {
  const section =
    read('docs/guides/usage.md')
      .split('\n## ')
      .find(text => text.startsWith('Envoy\n')) ?? ''
  return [...section.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => parse(text) as Yaml)
}

function configured(ports: { jwks: number; engine: number; usage: number }, secret: string): string {
  const config: Yaml = parse(read('deploy/envoy/envoy.yaml'))
  const [logger, filters, clusters] = additions()
  const manager = config.static_resources.listeners[0].filter_chains[0].filters[0].typed_config
  manager.access_log.push(...logger.access_log)
  manager.http_filters.splice(-1, 0, ...filters)
  config.static_resources.clusters.push(...clusters)
  return substitute(stringify(config), [
    ['Bearer mmr_REPORTER', `Bearer ${secret}`],
    ['address: mintmark\n', 'address: 127.0.0.1\n'],
    ['address: vllm\n', 'address: 127.0.0.1\n'],
    ['address: 0.0.0.0\n', 'address: 127.0.0.1\n'],
    ['port_value: 8080\n', `port_value: ${ports.jwks}\n`],
    ['port_value: 8000\n', `port_value: ${ports.engine}\n`],
    ['port_value: 8085\n', `port_value: ${ports.usage}\n`],
    ['port_value: 10000\n', 'port_value: 0\n'],
    ['port_value: 9901\n', 'port_value: 0\n'],
  ])
}

const USAGE = {
  prompt_tokens: 11,
  completion_tokens: 7,
  total_tokens: 18,
  prompt_tokens_details: { cached_tokens: 4 },
}

/** Answers JSON, or a stream; `max_tokens: 999` streams without an end. */
function startEngine(): Promise<Server> {
  const server = createServer(async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    const { stream, max_tokens } = JSON.parse(body)
    if (!stream) {
      res.setHeader('content-type', 'application/json').end(JSON.stringify({ usage: USAGE }))
      return
    }
    res.setHeader('content-type', 'text/event-stream')
    for (let token = 0; token < 7; token++)
      res.write(`data: {"choices":[{"delta":{"content":"t${token}"}}]}\n\n`)
    if (max_tokens === 999) return
    res.end(`data: ${JSON.stringify({ choices: [], usage: USAGE })}\n\ndata: [DONE]\n\n`)
  })
  return new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(server)))
}

describe.skipIf(noEnvoy)('Envoy reports usage', () => {
  let mintmark: TestService
  let engine: Server
  let envoy: Envoy
  let token: string
  let reporter: { id: string; secret: string }
  beforeAll(async () => {
    mintmark = await startTestService({ env: { MINTMARK_ISSUER: ISSUER, MINTMARK_OTLP_HTTP_PORT: '0' } })
    await mintmark.admin('PUT', '/models/base', {})
    const { secret } = await mintmark.tenantWithKey({ id: 'acme' })
    token = (await mintmark.token({ grant_type: 'client_credentials', client_secret: secret })).body
      .access_token
    reporter = await makeReporter(mintmark)
    engine = await startEngine()
    const portOf = (url: string) => Number(new URL(url).port)
    const ports = {
      jwks: portOf(mintmark.service.urls.public),
      usage: portOf(receiverOf(mintmark)),
      engine: (engine.address() as AddressInfo).port,
    }
    envoy = await startEnvoy(configured(ports, reporter.secret))
  })
  afterAll(async () => {
    await envoy?.stop()
    engine?.closeAllConnections()
    engine?.close()
    await mintmark?.stop()
  })

  const chat = (more: object = {}, bearer = token) =>
    fetch(`${envoy.url}/v1/chat/completions`, {
      method: 'POST',
      // The same from every client, as a client may.
      headers: {
        authorization: `Bearer ${bearer}`,
        'content-type': 'application/json',
        'x-request-id': 'always-the-same',
      },
      body: JSON.stringify({
        model: 'base',
        messages: [{ role: 'user', content: 'x'.repeat(400) }],
        ...more,
      }),
    })

  async function usage() {
    const from = new Date(Date.now() - 3_600_000).toISOString()
    const { body } = await mintmark.admin('GET', `/usage?group_by=tenant,model&from=${from}`)
    return body.data
  }

  it('of JSON and streamed answers, cancelled and refused requests, each once', async () => {
    for (let time = 0; time < 4; time++) expect(await (await chat()).text()).toContain('usage')
    for (let time = 0; time < 3; time++)
      expect(await (await chat({ stream: true })).text()).toContain('[DONE]')
    // Not allowed, and not verified.
    expect((await chat({ model: 'other' })).status).toBe(403)
    expect((await chat({}, 'nonsense')).status).toBe(401)
    await new Promise<void>((resolve, reject) => {
      const cancelled = httpRequest(`${envoy.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      })
      cancelled.on('response', res =>
        res.once('data', () => {
          cancelled.destroy()
          resolve()
        }),
      )
      cancelled.on('error', reject)
      cancelled.end(JSON.stringify({ model: 'base', stream: true, max_tokens: 999, messages: [] }))
    })
    await expect
      .poll(
        async () =>
          (await usage()).reduce((sum: number, row: Yaml) => sum + row.requests + row.refused_requests, 0),
        {
          timeout: 30_000,
        },
      )
      .toBe(9)
    const rows = await usage()
    const base = rows.find((row: Yaml) => row.model === 'base')
    expect(base).toMatchObject({
      tenant: 'acme',
      requests: 8,
      estimated_requests: 1,
      cached_input_tokens: 7 * 4,
    })
    expect(base.output_tokens).toBeGreaterThan(7 * 7)
    expect(base.output_tokens).toBeLessThan(7 * 7 + 10)
    expect(rows.find((row: Yaml) => row.model === null)).toMatchObject({
      tenant: 'acme',
      refused_requests: 1,
      requests: 0,
    })
  })
})
