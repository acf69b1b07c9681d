import { OTLPLogExporter as JsonExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as ProtobufExporter } from '@opentelemetry/exporter-logs-otlp-proto'
import { LoggerProvider, type ReadableLogRecord } from '@opentelemetry/sdk-logs'
import type { TestService } from '../support/test-service.ts'

/** Reports as OpenTelemetry's own SDK makes, encodes and sends them. */

export interface Request {
  id: string
  tenant: string
  key: string
  at?: number
  model?: string
  outcome?: 'completed' | 'cancelled' | 'refused'
  input?: number
  output?: number
  cached?: number
  more?: Record<string, string | number | string[]>
}

export function logRecords(requests: readonly Request[]): ReadableLogRecord[] {
  const records: ReadableLogRecord[] = []
  const collecting = {
    onEmit: (record: ReadableLogRecord) => void records.push(record),
    forceFlush: async () => {},
    shutdown: async () => {},
  }
  const logger = new LoggerProvider({ processors: [collecting] }).getLogger('gateway')
  for (const {
    id,
    tenant,
    key,
    at = Date.now(),
    model = 'base',
    outcome = 'completed',
    ...usage
  } of requests) {
    const { input, output, cached, more } = usage
    logger.emit({
      timestamp: at,
      body: `GET /v1/chat/completions ${'x'.repeat(50)}`,
      attributes: {
        'mintmark.request.id': id,
        'mintmark.tenant': tenant,
        'mintmark.key': key,
        'mintmark.audience': 'vllm',
        'mintmark.outcome': outcome,
        'gen_ai.request.model': model,
        ...(input !== undefined && { 'gen_ai.usage.input_tokens': input }),
        // As text: the formats of gateways have no numbers.
        ...(output !== undefined && { 'gen_ai.usage.output_tokens': String(output) }),
        ...(cached !== undefined && { 'mintmark.usage.cached_input_tokens': cached }),
        'http.response.status_code': '200',
        ...more,
      },
    })
  }
  return records
}

export type Encoded = 'json' | 'protobuf'

/** Sends one report, with the exporter's own retries. Rejects when the exporter gives up. */
export function send(
  url: string,
  secret: string,
  records: ReadableLogRecord[],
  encoded: Encoded = 'protobuf',
): Promise<void> {
  const Exporter = encoded === 'json' ? JsonExporter : ProtobufExporter
  const exporter = new Exporter({
    url: `${url}/v1/logs`,
    headers: { Authorization: `Bearer ${secret}` },
    compression: (encoded === 'json' ? 'none' : 'gzip') as never,
  })
  return new Promise<void>((resolve, reject) => {
    exporter.export(records, ({ code, error }) =>
      code === 0 ? resolve() : reject(error ?? new Error('failed')),
    )
  }).finally(() => exporter.shutdown())
}

/** A reporter, and where it sends its reports. */
export async function makeReporter(mintmark: TestService, audiences = ['vllm']) {
  const { body } = await mintmark.admin('POST', '/usage-reporters', { audiences })
  return { id: body.id as string, secret: body.secret as string }
}

export const receiverOf = ({ service }: TestService): string => service.urls.otlpHttp ?? ''

/** Members of a row of `GET /admin/v1/usage`. */
export interface UsageRow {
  requests: number
  refused_requests: number
  estimated_requests: number
  input_tokens: number
  cached_input_tokens: number
  output_tokens: number
}
