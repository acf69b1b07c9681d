import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Attributes,
  type Context,
  defaultTextMapGetter,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { W3CTraceContextPropagator } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import type { Clock } from '../system/clock.ts'
import { type Logger, withoutCredentials } from '../system/logger.ts'
import { packageVersion } from '../system/package-version.ts'
import type { Secret } from '../system/secret.ts'
import { withTimeout } from '../system/timeout.ts'
import type { TracedAnswer, TracedRequest, Tracing } from '../system/tracing.ts'
import { ReportedExporter } from './reported-exporter.ts'

/**
 * tracing/ sends traces by OpenTelemetry's own SDK. It is loaded only where traces are configured. Spans have the names of
 * OpenTelemetry's semantic conventions for HTTP servers and databases; our ids are `mintmark.*`.
 */

/** As the OTEL_* variables say it (config/trace-config.ts). */
export interface TraceSettings {
  url: string
  headers: Secret | undefined
  serviceName: string
  attributes: Readonly<Record<string, string>>
  sampler: SamplerName
  ratio: number
}

/** The names of OTEL_TRACES_SAMPLER. */
type SamplerName =
  | 'always_on'
  | 'always_off'
  | 'traceidratio'
  | 'parentbased_always_on'
  | 'parentbased_always_off'
  | 'parentbased_traceidratio'

const CLOSE_MS = 2_000
/** Spans that wait for the exporter; further ones are dropped. */
const MOST_WAITING = 4_096
const LONGEST_STATEMENT = 1_000

/** Fields of a request's event that spans have: what no client can fill with a text of its own. */
const FIELDS = [
  ...['tenant', 'client_id', 'token_id', 'kid', 'credential', 'identity_provider', 'auth_method'],
  ...['reason', 'error', 'actor', 'admin_token', 'introspector'],
]

export class OpenTelemetryTracing implements Tracing {
  readonly #provider: TracerProvider
  readonly #tracer: Tracer
  readonly #clock: Clock
  readonly #propagator = new W3CTraceContextPropagator()
  readonly #current = new AsyncLocalStorage<Context>()

  constructor(settings: TraceSettings, { clock, logger }: { clock: Clock; logger: Logger }) {
    const { url, serviceName, attributes } = settings
    const headers = headersOf(settings.headers)
    const exporter = new OTLPTraceExporter({ url, ...(headers && { headers }) })
    const version = packageVersion()
    const named = { 'service.name': serviceName, 'service.version': version, ...attributes }
    this.#provider = new TracerProvider({
      resource: defaultResource().merge(resourceFromAttributes(named)),
      sampler: samplerOf(settings),
      spanProcessors: [
        new BatchSpanProcessor({
          exporter: new ReportedExporter(exporter, { clock, logger }),
          maxQueueSize: MOST_WAITING,
        }),
      ],
    })
    this.#tracer = this.#provider.getTracer('mintmark', version)
    this.#clock = clock
  }

  request(
    { listener, method = '', traceparent }: TracedRequest,
    serve: (end: (answer: TracedAnswer) => void) => void,
  ): void {
    // Not tracestate, in which anyone could send a text of their own.
    const caller = this.#propagator.extract(ROOT_CONTEXT, { traceparent }, defaultTextMapGetter)
    const attributes = { 'http.request.method': method, 'mintmark.listener': listener }
    const span = this.#tracer.startSpan(method, { kind: SpanKind.SERVER, attributes }, caller)
    this.#current.run(trace.setSpan(caller, span), () =>
      serve(answer => {
        span.updateName(`${method} ${answer.route}`)
        span.setAttributes(attributesOf(answer))
        if (answer.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
        span.end()
      }),
    )
  }

  async query<T>(statement: string, run: () => Promise<T>): Promise<T> {
    const current = this.#current.getStore()
    if (!current) return run()
    const { name, attributes } = described(statement)
    const span = this.#tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes }, current)
    try {
      return await run()
    } catch (error) {
      failed(span, error)
      throw error
    } finally {
      span.end()
    }
  }

  async close(): Promise<void> {
    await withTimeout(this.#clock, CLOSE_MS, this.#provider.shutdown()).catch(() => {})
  }
}

function attributesOf({ route, status, fields, requestId }: TracedAnswer): Attributes {
  const attributes: Attributes = {
    'http.route': route,
    'http.response.status_code': status,
    'mintmark.request_id': requestId,
  }
  for (const name of FIELDS) {
    const value = fields[name]
    if (value !== undefined) attributes[`mintmark.${name}`] = printable(value)
  }
  return attributes
}

/** No code notes a credential; one that a client sent where an id belongs is redacted, as in the log. */
const printable = (value: string | number | boolean) =>
  typeof value === 'string' ? withoutCredentials(value) : value

const TARGET = /\b(?:from|into|update)\s+(?:"?\w+"?\.)?"?(\w+)/i

function described(statement: string): { name: string; attributes: Attributes } {
  const [operation = ''] = /^\w+/.exec(statement) ?? []
  const name = operation.toUpperCase()
  const table = TARGET.exec(statement)?.[1]
  return {
    name: table ? `${name} ${table}` : name,
    attributes: {
      'db.system.name': 'postgresql',
      'db.operation.name': name,
      ...(table && { 'db.collection.name': table }),
      'db.query.text': withoutCredentials(statement.slice(0, LONGEST_STATEMENT)),
    },
  }
}

/** Its kind and code: the message may have values of the row. */
function failed(span: Span, error: unknown): void {
  const { name, code } = error as { name?: unknown; code?: unknown }
  span.setAttribute('error.type', String(code ?? name))
  span.setStatus({ code: SpanStatusCode.ERROR })
}

/** `name=value` pairs with percent-encoded values, as OTEL_EXPORTER_OTLP_HEADERS has them. */
function headersOf(headers: Secret | undefined): Record<string, string> | undefined {
  if (!headers) return undefined
  const pairs = headers
    .reveal()
    .split(',')
    .map(pair => pair.split(/=(.*)/s, 2) as [string, string])
  return Object.fromEntries(pairs.map(([name, value]) => [name.trim(), decodeURIComponent(value.trim())]))
}

function samplerOf({ sampler, ratio }: TraceSettings): Sampler {
  const root = sampler.endsWith('always_on')
    ? new AlwaysOnSampler()
    : sampler.endsWith('always_off')
      ? new AlwaysOffSampler()
      : new TraceIdRatioBasedSampler(ratio)
  return sampler.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root
}
