import { type ExportResult, ExportResultCode } from '@opentelemetry/core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { formatCredential } from '../../src/api-keys/api-key.ts'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { OpenTelemetryTracing, type TraceSettings } from '../../src/tracing/opentelemetry.ts'
import { ReportedExporter } from '../../src/tracing/reported-exporter.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'
import { freePort } from '../support/free-port.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { BUSY, until } from '../support/until.ts'
import { type ReceivedSpan, startCollector } from './collector.ts'

const SERVER = 2
const CLIENT = 3
const ERROR = 2
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = '00f067aa0ba902b7'

describe('traces', () => {
  let collector: Awaited<ReturnType<typeof startCollector>>
  let service: TestService
  let made: Awaited<ReturnType<TestService['tenantWithKey']>>
  const COLLECTOR_SECRET = 'collector-secret-3f1c'

  beforeAll(async () => {
    collector = await startCollector()
    service = await startTestService({
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
        OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${COLLECTOR_SECRET}`,
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
        MINTMARK_TRUSTED_PROXIES: '127.0.0.1,::1',
      },
    })
    made = await service.tenantWithKey()
    const exchange = { grant_type: 'client_credentials', client_secret: made.secret }
    await service.token(exchange, {
      traceparent: `00-${TRACE}-${PARENT}-01`,
      tracestate: 'vendor=text-of-the-client',
    })
    await service.token({ ...exchange, client_secret: 'not a key of ours' })
    await service.admin('GET', `/keys/${made.secret}`)
    await fetch(`${service.service.urls.ops}/livez`)
    // What is left is sent when the service stops.
    await service.service.stop()
  })
  afterAll(async () => {
    await service?.stop()
    collector?.stop()
  })

  const named = (name: string): ReceivedSpan[] => collector.spans.filter(span => span.name === name)

  it('an exchange is a span of its caller, with its outcome', () => {
    const [exchange, refused] = named('POST /oauth/token')
    expect(exchange).toMatchObject({
      traceId: TRACE,
      parentId: PARENT,
      kind: SERVER,
      resource: {
        'service.name': 'mintmark',
        'deployment.environment.name': 'test',
      },
      attributes: {
        'http.request.method': 'POST',
        'http.route': '/oauth/token',
        'http.response.status_code': 200,
        'mintmark.listener': 'public',
        'mintmark.tenant': made.tenantId,
        'mintmark.client_id': made.keyId,
      },
    })
    expect(exchange?.durationMs).toBeGreaterThan(0)
    expect(refused?.parentId).toBe('')
    expect(refused?.attributes).toMatchObject({
      'http.response.status_code': 401,
      'mintmark.error': 'invalid_client',
      'mintmark.reason': expect.any(String),
    })
    expect(refused?.status?.code ?? 0).not.toBe(ERROR)
  })

  it('an admin call has its queries below it', () => {
    const [created] = named('POST /admin/v1/tenants/:tenant/keys')
    expect(created?.attributes).toMatchObject({ 'http.response.status_code': 201 })
    const queries = collector.spans.filter(({ parentId }) => parentId === created?.spanId)
    expect(queries.map(({ name }) => name)).toContainEqual(expect.stringMatching(/^INSERT /))
    for (const query of queries) {
      expect(query.kind).toBe(CLIENT)
      expect(query.traceId).toBe(created?.traceId)
      expect(query.attributes['db.system.name']).toBe('postgresql')
    }
  })

  it('neither probes nor background work are traced', () => {
    expect(named('GET /livez')).toEqual([])
    const queries = collector.spans.filter(({ kind }) => kind === CLIENT)
    expect(queries.filter(({ parentId }) => parentId === '')).toEqual([])
  })

  it('no span contains a secret, not even one in a path', () => {
    const sent = Buffer.concat(collector.bodies).toString('latin1')
    expect(sent).toContain(made.keyId)
    const { rootToken, environment } = service
    const { MINTMARK_PEPPERS, MINTMARK_ENCRYPTION_KEYS, DATABASE_URL } = environment
    for (const secret of [made.secret, rootToken, MINTMARK_PEPPERS, MINTMARK_ENCRYPTION_KEYS, DATABASE_URL]) {
      expect(secret).toBeTruthy()
      expect(sent).not.toContain(secret)
    }
    expect(sent).not.toContain(COLLECTOR_SECRET)
    expect(sent).not.toContain('not a key of ours')
    expect(sent).not.toContain('text-of-the-client')
    expect(sent).not.toMatch(/mm[kair]_[0-9A-Za-z]{16}_[0-9A-Za-z]+|eyJ[\w-]{8,}\./)
    expect(service.logs.join('')).not.toContain(COLLECTOR_SECRET)
    expect(collector.headers[0]?.authorization).toBe(`Bearer ${COLLECTOR_SECRET}`)
  })
})

it('a client that is no trusted proxy continues no trace at the public listener, and decides nothing', async () => {
  const collector = await startCollector()
  const service = await startTestService({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } })
  try {
    const { secret } = await service.tenantWithKey()
    const exchange = { grant_type: 'client_credentials', client_secret: secret }
    for (const sampled of ['00', '01'])
      await service.token(exchange, { traceparent: `00-${TRACE}-${PARENT}-${sampled}` })
    await fetch(`${service.service.urls.gateway}/check`, {
      headers: { traceparent: `00-${TRACE}-${PARENT}-01` },
    })
    await service.service.stop()
    const exchanges = collector.spans.filter(({ name }) => name === 'POST /oauth/token')
    expect(exchanges.map(({ parentId }) => parentId)).toEqual(['', ''])
    expect(exchanges.map(({ traceId }) => traceId)).not.toContain(TRACE)
    const continued = collector.spans.filter(({ traceId }) => traceId === TRACE)
    expect(continued.map(({ attributes }) => attributes['mintmark.listener'])).toEqual(['gateway'])
  } finally {
    await service.stop()
    collector.stop()
  }
})

const settingsFor = (collectorUrl: string): TraceSettings => ({
  url: `${collectorUrl}/v1/traces`,
  headers: undefined,
  serviceName: 'mintmark',
  attributes: {},
  sampler: 'always_on',
  ratio: 1,
})

/** What the collector has of `work`, traced with these settings. */
async function traced(
  settings: Partial<TraceSettings>,
  work: (tracing: OpenTelemetryTracing) => Promise<void>,
) {
  const collector = await startCollector()
  // How long the last spans may take to be sent.
  const sleep: Clock['sleep'] = (ms, signal) => systemClock.sleep(BUSY * ms, signal)
  const means = { clock: { ...systemClock, sleep }, logger: createLogger('silent') }
  const tracing = new OpenTelemetryTracing({ ...settingsFor(collector.url), ...settings }, means)
  try {
    await work(tracing)
    await tracing.close()
    return { spans: collector.spans, sent: Buffer.concat(collector.bodies).toString('latin1') }
  } finally {
    collector.stop()
  }
}

describe('the sampler', () => {
  it.each<[TraceSettings['sampler'], ratio: number, traced: string[]]>([
    ['always_on', 1, ['own', 'of a caller that is not traced', 'of a caller that is traced']],
    ['always_off', 1, []],
    ['traceidratio', 1, ['own', 'of a caller that is not traced', 'of a caller that is traced']],
    ['traceidratio', 0, []],
    ['parentbased_always_on', 1, ['own', 'of a caller that is traced']],
    ['parentbased_always_off', 1, ['of a caller that is traced']],
    ['parentbased_traceidratio', 0, ['of a caller that is traced']],
  ])('%s, with the ratio %d, traces these requests: %j', async (sampler, ratio, expected) => {
    const { spans } = await traced({ sampler, ratio }, async tracing => {
      const callers = {
        own: undefined,
        'of a caller that is not traced': `00-${TRACE}-${PARENT}-00`,
        'of a caller that is traced': `00-${TRACE}-${PARENT}-01`,
      }
      for (const [route, traceparent] of Object.entries(callers))
        tracing.request({ listener: 'public', method: 'POST', traceparent }, end =>
          end({ route, status: 200, fields: {}, requestId: '' }),
        )
    })
    expect(spans.map(({ attributes }) => attributes['http.route'])).toEqual(expected)
  })
})

it('a query that fails is named by its code: a message of Postgres may have values of a row', async () => {
  const fault = Object.assign(new Error('Key (name)=(a value of a row) already exists.'), { code: '23505' })
  const { spans, sent } = await traced({}, async tracing => {
    let failure: Promise<unknown> = Promise.resolve()
    tracing.request({ listener: 'admin', method: 'POST', traceparent: undefined }, end => {
      const query = tracing.query('INSERT INTO tenants VALUES ($1)', () => Promise.reject(fault))
      failure = query
        .catch(error => error)
        .finally(() => end({ route: '/x', status: 500, fields: {}, requestId: '' }))
    })
    expect(await failure).toBe(fault)
  })
  const [query, request] = spans
  expect(query).toMatchObject({ name: 'INSERT tenants', attributes: { 'error.type': '23505' } })
  expect([query?.status?.code, request?.status?.code]).toEqual([ERROR, ERROR])
  expect(sent).not.toContain('a value of a row')
})

it('a credential that a client sent where an id belongs is in no span', async () => {
  const credential = formatCredential('mmk', 'a'.repeat(16), systemRandom)
  const { spans, sent } = await traced({}, async tracing =>
    tracing.request({ listener: 'public', method: 'POST', traceparent: undefined }, end =>
      end({ route: '/x', status: 401, fields: { client_id: credential, reason: 'unknown' }, requestId: '' }),
    ),
  )
  expect(spans[0]?.attributes).toMatchObject({
    'mintmark.client_id': '[redacted]',
    'mintmark.reason': 'unknown',
  })
  expect(sent).not.toContain(credential.slice(-20))
})

it('spans that were lost are in one warning a minute, each of them once', () => {
  const logs: { spans: number }[] = []
  const logger = createLogger('warn', { write: line => void logs.push(JSON.parse(line)) })
  const clock = adjustableClock()
  clock.freeze()
  const unreachable = {
    export: (_: unknown, done: (result: ExportResult) => void) => done({ code: ExportResultCode.FAILED }),
    shutdown: async () => {},
  }
  const exporter = new ReportedExporter(unreachable, { clock, logger })
  const lose = (spans: number) => exporter.export(Array(spans).fill({}), () => {})
  lose(2)
  lose(3)
  clock.forward(59.999)
  lose(4)
  clock.forward(0.001)
  lose(5)
  clock.forward(60)
  lose(6)
  expect(logs.map(({ spans }) => spans)).toEqual([2, 3 + 4 + 5, 6])
})

describe('a collector', () => {
  it.each([
    // More than fit into the queue.
    ['hangs', 45, async () => startCollector({ hangs: true })],
    ['is away', 5, async () => ({ url: `http://127.0.0.1:${await freePort()}`, stop: () => {} })],
  ])('that %s delays no exchange', async (what, batches, start) => {
    const collector = await start()
    const service = await startTestService({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url } })
    try {
      const { secret } = await service.tenantWithKey()
      const exchange = () => service.token({ grant_type: 'client_credentials', client_secret: secret })
      // If each batch waited for an exporter that hangs, which gives up after ten seconds, the test would not end in time.
      for (let batch = 0; batch < batches; batch++) {
        const answers = await Promise.all(Array.from({ length: 100 }, exchange))
        expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
      }
      if (what === 'is away') {
        const warnings = () => service.logs.filter(line => line.includes('traces could not be sent'))
        await until('the loss is logged', warnings, lines => lines.length > 0)
        expect(warnings()).toHaveLength(1)
      }
    } finally {
      await service.stop()
      collector.stop()
    }
  })

  it('that hangs delays the end by two seconds, no longer', async () => {
    const collector = await startCollector({ hangs: true })
    const limits: number[] = []
    const over = Promise.withResolvers<void>()
    const sleep: Clock['sleep'] = ms => {
      limits.push(ms)
      return over.promise
    }
    const means = { clock: { ...systemClock, sleep }, logger: createLogger('silent') }
    const tracing = new OpenTelemetryTracing(settingsFor(collector.url), means)
    try {
      tracing.request({ listener: 'public', method: 'POST', traceparent: undefined }, end =>
        end({ route: '/x', status: 200, fields: {}, requestId: '' }),
      )
      let closed = false
      const closing = tracing.close().then(() => {
        closed = true
      })
      await until('the span was sent', collector.requests)
      expect([limits, closed]).toEqual([[2_000], false])
      over.resolve()
      await closing
    } finally {
      over.resolve()
      collector.stop()
    }
  })
})
