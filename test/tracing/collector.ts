import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { loadSync, type MethodDefinition } from '@grpc/proto-loader'

type Attributes = Record<string, string | number | boolean>

/** A span as it was received. Ids are hexadecimal; a span without a parent has ''. */
export interface ReceivedSpan {
  traceId: string
  spanId: string
  parentId: string
  name: string
  kind: number
  status: { code: number; message: string } | undefined
  durationMs: number
  attributes: Attributes
  resource: Attributes
}

interface KeyValue {
  key: string
  value: { value: string; stringValue?: string; intValue?: string; boolValue?: boolean; doubleValue?: number }
}

/** A collector of traces on a port of its own, over OTLP/HTTP with protobuf. With `hangs` it never answers. */
export async function startCollector({ hangs = false } = {}) {
  const spans: ReceivedSpan[] = []
  const bodies: Buffer[] = []
  const headers: IncomingHttpHeaders[] = []
  let requests = 0
  const server = createServer(async (req, res) => {
    requests++
    headers.push(req.headers)
    const body = await bodyOf(req)
    bodies.push(body)
    if (hangs) return
    if (req.method === 'POST' && req.url === '/v1/traces') spans.push(...read(body))
    res.writeHead(200, { 'content-type': 'application/x-protobuf' }).end()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    spans,
    bodies,
    headers,
    requests: () => requests,
    stop: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

async function bodyOf(req: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const definition = loadSync(fileURLToPath(new URL('traces.proto', import.meta.url)))
const service = definition['traces.TraceService'] as unknown as Record<
  'Export',
  MethodDefinition<object, object>
>

function read(body: Buffer): ReceivedSpan[] {
  // biome-ignore lint/suspicious/noExplicitAny: the loader's own shape
  const request = service.Export.requestDeserialize(body) as any
  // biome-ignore lint/suspicious/noExplicitAny: the same
  return request.resourceSpans.flatMap(({ resource, scopeSpans }: any) =>
    // biome-ignore lint/suspicious/noExplicitAny: the same
    scopeSpans.flatMap(({ spans }: any) => spans.map((span: any) => received(span, resource))),
  )
}

// biome-ignore lint/suspicious/noExplicitAny: the same
const received = (span: any, resource: any): ReceivedSpan => ({
  traceId: span.traceId.toString('hex'),
  spanId: span.spanId.toString('hex'),
  parentId: Buffer.from(span.parentSpanId ?? []).toString('hex'),
  name: span.name,
  kind: span.kind,
  status: span.status,
  durationMs: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6,
  attributes: attributesOf(span.attributes),
  resource: attributesOf(resource.attributes),
})

const attributesOf = (list: KeyValue[]): Attributes =>
  Object.fromEntries(
    list.map(({ key, value }) => [
      key,
      value.stringValue ?? value.boolValue ?? value.doubleValue ?? Number(value.intValue),
    ]),
  )
