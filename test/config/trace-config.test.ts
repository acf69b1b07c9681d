import { describe, expect, it } from 'vitest'
import { Env } from '../../src/config/env.ts'
import { readTraces } from '../../src/config/trace-config.ts'

const read = (values: Record<string, string>) => {
  const env = new Env(values)
  const { traces } = readTraces(env)
  env.throwFaults()
  return traces
}

describe('traces', () => {
  it.each([
    [{}],
    [{ OTEL_SERVICE_NAME: 'tokens', OTEL_TRACES_SAMPLER: 'always_on' }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_TRACES_EXPORTER: 'none' }],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318', OTEL_SDK_DISABLED: 'true' }],
  ])('are off with %o', values => {
    expect(read(values)).toBeUndefined()
  })

  it.each([
    [{ OTEL_TRACES_EXPORTER: 'otlp' }, 'http://localhost:4318/v1/traces'],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/' }, 'http://collector:4318/v1/traces'],
    [
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://traces.example.com/in' },
      'https://traces.example.com/in',
    ],
  ])('go with %o to %s', (values, url) => {
    expect(read(values)).toMatchObject({
      url,
      serviceName: 'mintmark',
      sampler: 'parentbased_always_on',
      ratio: 1,
    })
  })

  it('read attributes, the sampler and its part', () => {
    const values = {
      OTEL_TRACES_EXPORTER: 'otlp',
      OTEL_RESOURCE_ATTRIBUTES: 'k8s.pod.name=mintmark-1, deployment.environment.name=a%20b',
      OTEL_TRACES_SAMPLER: 'traceidratio',
      OTEL_TRACES_SAMPLER_ARG: '0.01',
    }
    expect(read(values)).toMatchObject({
      attributes: { 'k8s.pod.name': 'mintmark-1', 'deployment.environment.name': 'a b' },
      sampler: 'traceidratio',
      ratio: 0.01,
    })
  })

  it.each([
    ['OTEL_TRACES_EXPORTER', 'console'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
    ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'https://user:hunter2@collector'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'authorization'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'authorization=%E0%A4%A'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'my header=hunter2'],
    ['OTEL_RESOURCE_ATTRIBUTES', 'zone'],
    ['OTEL_TRACES_SAMPLER', 'jaeger_remote'],
    ['OTEL_TRACES_SAMPLER_ARG', '1.5'],
    ['OTEL_SDK_DISABLED', 'yes'],
  ])('%s=%s is a fault, by name and without a secret', (name, value) => {
    expect(() => read({ [name]: value })).toThrow(name)
    expect(() => read({ [name]: value })).not.toThrow('hunter2')
  })
})
