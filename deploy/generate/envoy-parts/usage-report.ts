import { MODEL_HEADER } from '../../../src/gateway/headers.ts'
import { render } from '../template.ts'
import { TOKEN_METADATA } from './limits.ts'

/** How Envoy sends its reports: OTLP over HTTP (from Envoy 1.40 on) or over gRPC. */
export const USAGE_TRANSPORTS = ['http', 'grpc'] as const
export type UsageTransport = (typeof USAGE_TRANSPORTS)[number]

const counted = (name: string) => `%DYNAMIC_METADATA(mintmark.usage:${name})%`

/** The attributes of docs/guides/usage.md, as Envoy writes them. `payload`: the name of the verified token in its metadata. */
export function reportedAttributes(payload: string): { name: string; format: string }[] {
  const claim = (name: string) => `%DYNAMIC_METADATA(${TOKEN_METADATA}:${payload}:${name})%`
  return Object.entries({
    // Not %STREAM_ID%: that is the client's x-request-id wherever Envoy keeps it.
    'mintmark.request.id': '%UNIQUE_ID%',
    'mintmark.tenant': claim('tenant'),
    'mintmark.key': claim('sub'),
    'mintmark.audience': claim('aud'),
    // Envoy's time of a record is the beginning of the request.
    'mintmark.request.duration_ms': '%DURATION%',
    'mintmark.response_flags': '%RESPONSE_FLAGS%',
    'http.response.status_code': '%RESPONSE_CODE%',
    'http.request.body.size': '%BYTES_RECEIVED%',
    'http.response.body.size': '%BYTES_SENT%',
    'gen_ai.request.model': `%REQ(${MODEL_HEADER})%`,
    'gen_ai.usage.input_tokens': counted('input'),
    'gen_ai.usage.output_tokens': counted('output'),
    'mintmark.usage.cached_input_tokens': counted('cached'),
    'mintmark.usage.output_events': counted('events'),
  }).map(([name, format]) => ({ name, format }))
}

/** Envoy's access logger that reports each request. `receiver`: where to, as its field of the logger. */
export const usageLog = (receiver: string): string =>
  render('envoy-parts/usage-log.yaml.template', {
    ...{ receiver, namespace: TOKEN_METADATA, attributes: reportedAttributes('payload') },
  })

export const overHttp = (): string => render('envoy-parts/usage-over-http.yaml', {})

/** `cluster`: of Mintmark's OTLP/gRPC listener, or of a Collector. */
export const overGrpc = (cluster: string): string =>
  render('envoy-parts/usage-over-grpc.yaml.template', { cluster })
