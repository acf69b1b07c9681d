import { Secret } from '../system/secret.ts'
import type { Env } from './env.ts'

const SAMPLERS = [
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
  'always_on',
  'always_off',
  'traceidratio',
] as const

/** Where traces go; undefined: no traces. */
export interface TraceConfig {
  traces:
    | {
        url: string
        headers: Secret | undefined
        serviceName: string
        attributes: Readonly<Record<string, string>>
        sampler: (typeof SAMPLERS)[number]
        ratio: number
      }
    | undefined
}

/** The variables of the OpenTelemetry specification, for traces over OTLP/HTTP. */
export function readTraces(env: Env): TraceConfig {
  const exporter = env.optional('OTEL_TRACES_EXPORTER', {
    fallback: '`otlp` with an endpoint, else `none`',
    description: '`otlp` sends traces of exchanges, admin calls and their queries, `none` does not',
    choices: ['otlp', 'none'],
    parse: text => oneOf(['otlp', 'none'], text),
  })
  const endpoint = env.optional('OTEL_EXPORTER_OTLP_ENDPOINT', {
    fallback: '`http://localhost:4318` with `otlp`',
    description: 'base URL of the OpenTelemetry collector (OTLP/HTTP); traces go to `/v1/traces` below it',
    parse: httpUrl,
  })
  const own = env.optional('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', {
    fallback: 'derived from `OTEL_EXPORTER_OTLP_ENDPOINT`',
    description: 'whole URL for traces',
    parse: httpUrl,
  })
  env.optional('OTEL_EXPORTER_OTLP_PROTOCOL', {
    fallback: '`http/protobuf`',
    description: 'the only protocol here; OTLP/gRPC is not supported',
    choices: ['http/protobuf'],
    parse: text => oneOf(['http/protobuf'], text),
  })
  const headers = env.optional('OTEL_EXPORTER_OTLP_HEADERS', {
    fallback: 'none',
    description:
      'headers for the collector, such as a credential: comma-separated `name=value`, values percent-encoded',
    parse: headerList,
  })
  const settings = {
    serviceName: env.text('OTEL_SERVICE_NAME', {
      default: 'mintmark',
      description: 'service name in traces',
    }),
    attributes:
      env.optional('OTEL_RESOURCE_ATTRIBUTES', {
        fallback: 'none',
        description: 'further attributes of this process in traces: comma-separated `name=value`',
        parse: text => Object.fromEntries(pairs(text)),
      }) ?? {},
    sampler: env.choice('OTEL_TRACES_SAMPLER', {
      default: 'parentbased_always_on',
      choices: SAMPLERS,
      description:
        "which requests are traced; `parentbased_*` follows the caller's `traceparent`, at the public listener only of `MINTMARK_TRUSTED_PROXIES`",
    }),
    ratio:
      env.optional('OTEL_TRACES_SAMPLER_ARG', {
        fallback: '1',
        description: 'with `traceidratio`: the part of the requests, from 0 to 1',
        parse: part,
      }) ?? 1,
  }
  const isDisabled = env.choice('OTEL_SDK_DISABLED', {
    default: 'false',
    choices: ['false', 'true'],
    description: '`true`: no traces, whatever the other variables say',
  })
  if (isDisabled === 'true') return { traces: undefined }
  const isOn = exporter ? exporter === 'otlp' : endpoint !== undefined || own !== undefined
  if (!isOn) return { traces: undefined }
  const url = own ?? `${(endpoint ?? 'http://localhost:4318').replace(/\/+$/, '')}/v1/traces`
  return { traces: { url, headers, ...settings } }
}

function oneOf(choices: readonly string[], text: string): string {
  if (choices.includes(text)) return text
  throw new Error(`must be ${choices.join(' or ')}, got "${text}"`)
}

/** The value is not shown: a URL may contain a password. */
function httpUrl(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new Error('must be a URL that begins with http:// or https://')
  if (url.username || url.password)
    throw new Error('must not contain a user or password: use OTEL_EXPORTER_OTLP_HEADERS')
  return text
}

function pairs(text: string): [string, string][] {
  return text.split(',').map(pair => {
    const [, name, value] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? []
    if (name === undefined || value === undefined)
      throw new Error('must be comma-separated pairs: name=value')
    try {
      return [name, decodeURIComponent(value)]
    } catch {
      throw new Error(`must have percent-encoded values; that of ${name} is not`)
    }
  })
}

function headerList(text: string): Secret {
  for (const [name] of pairs(text)) {
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw new Error('must have names of HTTP headers')
  }
  return new Secret(text)
}

function part(text: string): number {
  const value = /^(0|1|0?\.\d+|1\.0+)$/.test(text) ? Number(text) : Number.NaN
  if (value >= 0 && value <= 1) return value
  throw new Error(`must be a number from 0 to 1, got "${text}"`)
}
