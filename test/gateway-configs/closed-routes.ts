import { MODEL_ROUTES, ROUTES } from '../../src/gateway/headers.ts'
import { CLOSED, ELSEWHERE } from '../engine/closed-routes.ts'

/**
 * vLLM's own routes and paths that could be mistaken for allowed ones. None may reach the engine, with a token or
 * without.
 */
export const CLOSED_ROUTES: [method: string, path: string][] = [
  ['GET', '/'],
  ['GET', '//'],
  ['GET', '///'],
  ['GET', '/%2e'],
  ['GET', '/health'],
  ['GET', '/metrics'],
  ['GET', '/version'],
  ['GET', '/docs'],
  ['GET', '/openapi.json'],
  ['POST', '/v1/load_lora_adapter'],
  ['POST', '/v1/unload_lora_adapter'],
  ['POST', '/invocations'],
  ['POST', '/inference/v1/generate'],
  ['POST', '/tokenize'],
  ['POST', '/score'],
  ['POST', '/pooling'],
  ['POST', '/pause'],
  ['POST', '/sleep'],
  ['POST', '/collective_rpc'],
  ['POST', '/v1/audio/transcriptions'],
  ['POST', '/v1/rerank'],
  ['GET', '/v1/messages'],
  ['POST', '/v1/messages/'],
  ['POST', '/v1/messages/batches'],
  ['POST', '/v1/messages/count_tokens/x'],
  ['GET', '/v1/realtime'],
  ['GET', '/v1/responses/resp_1'],
  ['POST', '/v1/responses/resp_1/cancel'],
  ['GET', '/v1/models/globex-sql'],
  ['POST', '/v1/models/llama-3-8b'],
  ['DELETE', '/v1/models/llama-3-8b'],
  ['GET', '/v1/models/'],
  ['POST', '/v1/models'],
  ['GET', '/v1/chat/completions'],
  ['PUT', '/v1/chat/completions'],
  ['DELETE', '/v1/models'],
  ['HEAD', '/v1/models'],
  ['TRACE', '/v1/models'],
  ['OPTIONS', '/v1/models'],
  ['OPTIONS', '*'],
  ['POST', '/V1/chat/completions'],
  ['POST', '/v1/chat/completions/'],
  ['POST', '/v1/chat/completions;x'],
  ['POST', '/v1/chat/completions%00'],
  ['POST', '/v1/chat/completions%3Fx'],
  ['POST', '/v1/chat/completions%0A'],
  ['POST', '/v1/chat/completions%0D%0A'],
  ['POST', '/v1%2Fchat/completions'],
  ['POST', '/v1/chat%5Ccompletions'],
  ['POST', '/v1/chat/completions/..%2f..%2f/load_lora_adapter'],
  ['POST', '/v1/chat/completions/../../load_lora_adapter'],
  ['POST', '/v1/chat/completions/%2e%2e/%2e%2e/load_lora_adapter'],
  ['POST', '/v1/./load_lora_adapter'],
  ['POST', '/v1//load_lora_adapter'],
  ['POST', '/v1/load_lora_adapter#/v1/chat/completions'],
  ['POST', '/v1/load_lora_adapter?/v1/chat/completions'],
]

/** Every other route of vLLM, those of the groups that the files of deploy/ do not open, and those of other engines. */
export const OTHER_ROUTES: readonly string[] = [
  ...Object.values(CLOSED).flat(),
  ...ELSEWHERE,
  ...ROUTES.filter(route => route.model !== 'none' && !MODEL_ROUTES.includes(route)).map(({ path }) => path),
].map(path => path.replaceAll(/\{\w+\}/g, 'x'))

/** Attempts in a request line or a header, in place of a path. */
export const CLOSED_REQUESTS: [what: string, line: string, header: string][] = [
  ['an absolute-form target', 'POST http://inference.example.com/v1/load_lora_adapter HTTP/1.1', ''],
  ['CONNECT', 'CONNECT vllm:8000 HTTP/1.1', ''],
  [
    'x-envoy-original-path (CVE-2023-27487)',
    'POST /invocations HTTP/1.1',
    'x-envoy-original-path: /v1/chat/completions\r\n',
  ],
  ['X-HTTP-Method-Override', 'POST /v1/load_lora_adapter HTTP/1.1', 'X-HTTP-Method-Override: GET\r\n'],
  ['a websocket', 'GET /v1/models HTTP/1.1', 'Upgrade: websocket\r\nConnection: Upgrade\r\n'],
  [
    'a websocket of its own route',
    'GET /v1/realtime?model=llama-3-8b HTTP/1.1',
    'Upgrade: websocket\r\nConnection: Upgrade\r\n',
  ],
  [
    'a websocket with a body',
    'POST /v1/chat/completions HTTP/1.1',
    'Upgrade: websocket\r\nConnection: Upgrade\r\n',
  ],
  [
    'a CORS preflight',
    'OPTIONS /v1/chat/completions HTTP/1.1',
    'Origin: https://a\r\nAccess-Control-Request-Method: POST\r\n',
  ],
]

const SMUGGLED = 'POST /v1/load_lora_adapter HTTP/1.1\r\nHost: vllm\r\nContent-Length: 0\r\n\r\n'

/**
 * Requests that two parsers may read differently, as one or two, or with other headers (facts/security.md V16), as raw
 * bytes.
 */
export const SMUGGLING: [what: string, bytes: (authorization: string, body: string) => string][] = [
  [
    'a length and chunks',
    framed(['Content-Length: 6', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`),
  ],
  [
    'chunks of another name',
    framed(['Content-Length: 4', 'Transfer-Encoding: xchunked'], `0\r\n\r\n${SMUGGLED}`),
  ],
  [
    'chunks, then identity',
    framed(['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], `0\r\n\r\n${SMUGGLED}`),
  ],
  ['chunks with a space before the colon', framed(['Transfer-Encoding : chunked'], `0\r\n\r\n${SMUGGLED}`)],
  ['two lengths', framed(['Content-Length: 0', `Content-Length: ${SMUGGLED.length}`], SMUGGLED)],
  ['two lengths in one line', framed([`Content-Length: 0, ${SMUGGLED.length}`], SMUGGLED)],
  ['a length with a sign', framed(['Content-Length: +0'], SMUGGLED)],
  ['a folded line', framed(['X-A: b', ' Content-Length: 0', 'Content-Length: 0'], SMUGGLED)],
  ['a bare line feed', framed(['X-A: b\nTransfer-Encoding: chunked', 'Content-Length: 0'], SMUGGLED)],
  ['a NUL', framed(['X-A: \0', 'Content-Length: 0'], SMUGGLED)],
  ['two hosts', framed(['Host: vllm', 'Content-Length: 0'], SMUGGLED)],
  [
    'a request behind a whole one',
    (authorization, body) => framed([`Content-Length: ${body.length}`], body + SMUGGLED)(authorization),
  ],
]

/** A body in chunks, with what would steer the engine after it. */
export const withTrailers = (authorization: string, body: string): string =>
  framed(
    [
      'Transfer-Encoding: chunked',
      `Trailer: ${TRAILERS.map(([name]) => name).join(', ')}`,
      'Connection: close',
    ],
    `${body.length.toString(16)}\r\n${body}\r\n0\r\n${TRAILERS.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`,
  )(authorization)

const TRAILERS: [name: string, value: string][] = [
  ['x-data-parallel-rank', '3'],
  ['x-session-id', 'of-another'],
  ['x-vllm-priority', '-999'],
  ['authorization', 'Bearer other'],
]

function framed(headers: string[], body: string): (authorization: string) => string {
  return authorization =>
    [
      'POST /v1/chat/completions HTTP/1.1',
      'Host: inference.example.com',
      `Authorization: ${authorization}`,
      'Content-Type: application/json',
      ...headers,
      '',
      body,
    ].join('\r\n')
}
