import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A request as the engine received it. */
interface RecordedRequest {
  method: string
  path: string
  /** Names as sent, in order, repeats included. */
  rawHeaders: [name: string, value: string][]
  headers: IncomingMessage['headers']
  /** Names of the trailers. An engine on httptools reads them as further headers. */
  trailers: string[]
  body: string
  /** The priority that vLLM would schedule this request with. */
  priority: number
}

export interface RecordingUpstream {
  port: number
  url: string
  requests: RecordedRequest[]
  /** Why the received data was not a valid request: a gateway wrote client data in the wrong place. */
  malformed: string[]
  /** The only request since the last `forget`. */
  theRequest(): RecordedRequest
  forget(): void
  /** The second part of a stream is not sent before the returned function is called. */
  holdStreams(): () => void
  stop(): Promise<void>
}

/**
 * Where vLLM 0.28 reads X-Vllm-Priority (vllm-project/vllm#51089); on other routes only the body's `priority` counts.
 * Anthropic's requests become chat requests.
 */
const PRIORITY_HEADER_ROUTES = [
  ...['/v1/chat/completions', '/v1/completions', '/v1/responses'],
  ...['/v1/messages', '/v1/messages/count_tokens'],
]

/** Replaces vLLM: records requests, follows its documented rule for priorities, answers JSON or an event stream. */
export async function startRecordingUpstream(): Promise<RecordingUpstream> {
  const requests: RecordedRequest[] = []
  const malformed: string[] = []
  let rest = shortly
  const server = createServer(
    (req, res) => void answer(req, res, requests, () => rest()).catch(() => res.destroy()),
  )
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code?.startsWith('HPE_')) malformed.push(error.code)
    socket.destroy()
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    requests,
    malformed,
    theRequest() {
      const [request] = requests
      if (requests.length !== 1 || !request)
        throw new Error(`${requests.length} requests reached the upstream, not 1`)
      return request
    },
    forget() {
      requests.splice(0)
      malformed.splice(0)
    },
    holdStreams() {
      const held = Promise.withResolvers<void>()
      rest = () => held.promise
      return () => {
        rest = shortly
        held.resolve()
      }
    },
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** The first part of a stream had time to arrive. */
const shortly = (): Promise<void> => sleep(400)

async function answer(
  req: IncomingMessage,
  res: ServerResponse,
  requests: RecordedRequest[],
  rest: () => Promise<void>,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of req) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks).toString('utf8')
  const path = (req.url ?? '').replace(/\?.*/, '')
  const json = parse(body)
  const rawHeaders = Array.from({ length: req.rawHeaders.length / 2 }, (_, i): [string, string] => [
    req.rawHeaders[2 * i] ?? '',
    req.rawHeaders[2 * i + 1] ?? '',
  ])
  const priority = effectivePriority(path, req.headers['x-vllm-priority'], json?.priority)
  requests.push({
    method: req.method ?? '',
    path: req.url ?? '',
    rawHeaders,
    headers: req.headers,
    trailers: req.rawTrailers.filter((_, index) => index % 2 === 0),
    body,
    priority,
  })
  if (json?.stream) return stream(res, rest)
  res.writeHead(200, { 'content-type': 'application/json' })
  res.end(JSON.stringify({ object: 'test', model: json?.model, priority }))
}

// biome-ignore lint/suspicious/noExplicitAny: bodies of every shape are sent here
function parse(body: string): any {
  try {
    return JSON.parse(body)
  } catch {
    return undefined
  }
}

/** The header wins where it is read and int() accepts it; else the body's, else 0. */
function effectivePriority(path: string, header: string | string[] | undefined, inBody: unknown): number {
  const isInteger = typeof header === 'string' && /^\s*[+-]?\d+(_\d+)*\s*$/.test(header)
  if (PRIORITY_HEADER_ROUTES.includes(path) && isInteger) return Number(header.replaceAll('_', ''))
  return typeof inBody === 'number' ? inBody : 0
}

/** Two events, the second after `rest`. */
async function stream(res: ServerResponse, rest: () => Promise<void>): Promise<void> {
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.write('data: {"part":1}\n\n')
  await rest()
  res.end('data: {"part":2}\n\ndata: [DONE]\n\n')
}
