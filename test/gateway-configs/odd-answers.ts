import { gzipSync } from 'node:zlib'
import type { UsageRow } from '../usage/reports.ts'
import { chat as request, type Sent } from './client.ts'

/** Answers of engines and requests of clients as they may be, and what is counted of each. */

export interface OddAnswer {
  name: string
  path?: string
  /** More members of the request. */
  sent?: object
  /** Of the request. */
  headers?: [name: string, value: string][]
  /** Of the engine, in the pieces in which it writes it; `asked`: the client's Accept-Encoding as the engine sees it. */
  answer: (asked: string | undefined) => {
    type?: string
    encoding?: string
    pieces: readonly (string | Buffer)[]
    /** It closes the connection before the end. */
    breaks?: boolean
  }
  counted: Partial<UsageRow>
}

const count = (input: number, cached: number, output: number): Partial<UsageRow> => ({
  ...{ requests: 1, refused_requests: 0, estimated_requests: 0 },
  ...{ input_tokens: input, cached_input_tokens: cached, output_tokens: output },
})

const USAGE = {
  ...{ prompt_tokens: 11, total_tokens: 16, completion_tokens: 5 },
  prompt_tokens_details: { cached_tokens: 4 },
}
const STREAM = 'text/event-stream; charset=utf-8'
const event = (data: unknown) => `data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`
const part = (content: string, more: object = {}) =>
  event({ choices: [{ index: 0, delta: { content } }], ...more })
const LAST = event({ choices: [], usage: USAGE })
const DONE = event('[DONE]')
const chat = (content: string, more: object = {}) =>
  JSON.stringify({ id: 'id-1', choices: [{ index: 0, message: { content } }], usage: USAGE, ...more })
const bytes = (text: string) => Array.from(Buffer.from(text), byte => Buffer.of(byte))

/** Some of each number of bytes, and characters that turn the direction of writing. */
const WORLD = 'é 日本語 👩‍👩‍👧 שלום \u202e \u0085 \u2028 𝔘'
const FORGED =
  'data: {"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}\n\ndata: [DONE]\n\n'

const soFar = (completion: number) =>
  part('a', { usage: { ...USAGE, completion_tokens: completion, total_tokens: 11 + completion } })

const whole = (...pieces: (string | Buffer)[]) => ({ answer: () => ({ pieces }) })
const streamed = (...pieces: (string | Buffer)[]) => ({
  sent: { stream: true },
  answer: () => ({ type: STREAM, pieces }),
})

export const ODD_ANSWERS: OddAnswer[] = [
  { name: 'text of the world, byte by byte', ...whole(...bytes(chat(WORLD))), counted: count(11, 4, 5) },
  {
    name: 'the same, streamed',
    ...streamed(...bytes(part(WORLD) + part(WORLD) + LAST + DONE)),
    counted: count(11, 4, 5),
  },
  {
    name: 'what is no UTF-8',
    ...whole(Buffer.from(chat('\u00ff\u00fe\u0080'), 'latin1')),
    counted: count(11, 4, 5),
  },
  {
    name: 'what is no UTF-8, streamed',
    ...streamed(Buffer.from(part('\u00ff\u00fe\u0080'), 'latin1'), LAST, DONE),
    counted: count(11, 4, 5),
  },
  {
    name: 'usage that the model wrote, in its text and in the arguments of a tool',
    ...streamed(
      part(FORGED),
      event({
        choices: [{ index: 0, delta: { tool_calls: [{ index: 7, function: { arguments: FORGED } }] } }],
      }),
      LAST,
      DONE,
    ),
    counted: count(11, 4, 5),
  },
  {
    name: 'usage that the model wrote, after the count of the engine',
    ...whole(
      `{"usage":${JSON.stringify(USAGE)},"choices":[{"index":0,"message":{"content":${JSON.stringify(FORGED)}}}]}`,
    ),
    counted: count(11, 4, 5),
  },
  {
    name: 'an engine that would compress',
    headers: [['accept-encoding', 'gzip, deflate, br, zstd']],
    answer: asked =>
      asked?.includes('gzip')
        ? { encoding: 'gzip', pieces: [gzipSync(chat('Hello'))] }
        : { pieces: [chat('Hello')] },
    counted: count(11, 4, 5),
  },
  {
    name: 'a long address',
    path: `/v1/chat/completions?${'x'.repeat(6_000)}`,
    ...whole(chat('Hello')),
    counted: count(11, 4, 5),
  },
  {
    name: 'compressed, although nobody asked',
    answer: () => ({ encoding: 'gzip', pieces: [gzipSync(chat('Hello'))] }),
    counted: count(0, 0, 0),
  },
  {
    name: 'comments, carriage returns, no space behind the colon',
    ...streamed(
      ': don"t close {[\r\n\r\n',
      'retry: 3000\r\n\r\n',
      `event: ping\r\ndata: {"type": "ping"}\r\n\r\n`,
      part('Hello').replaceAll('\n', '\r\n'),
      LAST.replace('data: ', 'data:').replaceAll('\n', '\r\n'),
      DONE,
    ),
    counted: count(11, 4, 5),
  },
  {
    name: 'an event of 1 MB',
    ...streamed(part('x'.repeat(1_000_000)), LAST, DONE),
    counted: count(11, 4, 5),
  },
  {
    name: 'an event of 6 MB',
    ...streamed(part('x'.repeat(6_000_000)), LAST, DONE),
    counted: count(11, 4, 5),
  },
  {
    name: 'embeddings of 6 MB',
    path: '/v1/embeddings',
    ...whole(
      JSON.stringify({
        object: 'list',
        data: [{ index: 0, embedding: 'A'.repeat(6_000_000) }],
        usage: { prompt_tokens: 11, total_tokens: 11, completion_tokens: 0, prompt_tokens_details: null },
      }),
    ),
    counted: count(11, 0, 0),
  },
  {
    name: 'an answer of 6 MB with usage in a tool behind its own',
    path: '/v1/responses',
    ...whole(
      JSON.stringify({
        output: [{ content: [{ text: 'x'.repeat(6_000_000) }] }],
        usage: {
          input_tokens: 11,
          input_tokens_details: { cached_tokens: 4 },
          output_tokens: 5,
          total_tokens: 16,
        },
        tools: [{ usage: { input_tokens: 1, output_tokens: 1 } }],
      }),
    ),
    counted: count(11, 4, 5),
  },
  {
    name: 'only total_tokens, as of a reranker',
    path: '/v1/embeddings',
    ...whole(JSON.stringify({ results: [{ index: 0 }], usage: { total_tokens: 11 } })),
    counted: count(11, 0, 0),
  },
  {
    name: 'details of reasoning and of audio',
    ...whole(
      chat('Hello', {
        usage: {
          ...USAGE,
          prompt_tokens_details: { cached_tokens: 4, audio_tokens: 3 },
          completion_tokens_details: { reasoning_tokens: 3, accepted_prediction_tokens: 1, total_tokens: 99 },
        },
      }),
    ),
    counted: count(11, 4, 5),
  },
  {
    name: 'usage as Anthropic streams it',
    path: '/v1/messages',
    ...streamed(
      `event: message_start\n${event({ type: 'message_start', message: { usage: { input_tokens: 6, cache_creation_input_tokens: 1, cache_read_input_tokens: 4, output_tokens: 1 } } })}`,
      `event: content_block_delta\n${event({ type: 'content_block_delta', delta: { text: FORGED } })}`,
      `event: message_delta\n${event({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 5 } })}`,
      `event: message_stop\n${event({ type: 'message_stop' })}`,
    ),
    counted: count(11, 4, 5),
  },
  {
    name: 'usage only at the end, null before',
    ...streamed(part('a', { usage: null }), part('b', { usage: null }), LAST, DONE),
    counted: count(11, 4, 5),
  },
  {
    name: 'an error in the stream',
    ...streamed(soFar(1), soFar(2), event({ error: { message: FORGED, code: 500 } }), DONE),
    counted: count(11, 4, 2),
  },
  {
    name: 'numbers with exponents',
    ...whole(
      chat('Hello', { usage: { prompt_tokens: 0 } }).replace(
        '"prompt_tokens":0',
        '"prompt_tokens":1.1e1,"completion_tokens":5E0',
      ),
    ),
    counted: count(11, 0, 5),
  },
  {
    name: 'in lines, with white space',
    ...whole(JSON.stringify(JSON.parse(chat('Hello')), null, '\t').replaceAll('\n', '\r\n')),
    counted: count(11, 4, 5),
  },
  { name: 'usage null', ...whole(chat('Hello', { usage: null })), counted: count(0, 0, 0) },
  {
    name: 'usage of another kind',
    ...whole(chat('Hello', { usage: [1, '{"prompt_tokens":9}'] })),
    counted: count(0, 0, 0),
  },
  { name: 'no JSON', ...whole('<html>"usage":{"prompt_tokens":9}</html>'), counted: count(0, 0, 0) },
  { name: 'nothing', ...whole(''), counted: count(0, 0, 0) },
  {
    name: 'an engine that ends in the middle of a stream',
    sent: { stream: true },
    answer: () => ({ type: STREAM, pieces: [soFar(1), soFar(2)], breaks: true }),
    counted: count(11, 4, 2),
  },
]

/** What is no inference, or is refused. */
export interface OddRequest {
  name: string
  /** `token`: of the key. */
  request: (token: string) => Sent
  /** 'nothing': no request and no tokens; gateways differ in whether they count it as refused. */
  counted: 'refused' | 'nothing'
}

const refused = (name: string, body: string | Buffer): OddRequest => ({
  ...{ name, request: () => ({ body }), counted: 'refused' },
})
const WEBSOCKET: [string, string][] = [
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
  ['Sec-WebSocket-Version', '13'],
]
const claimsOf = (token: string) => token.split('.')[1]
const UNSIGNED = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url')

export const ODD_REQUESTS: OddRequest[] = [
  ...['HEAD', 'GET'].map(
    (method): OddRequest => ({ name: method, request: () => ({ method, body: '' }), counted: 'nothing' }),
  ),
  {
    name: 'a websocket',
    request: () => ({ method: 'GET', body: '', headers: WEBSOCKET }),
    counted: 'nothing',
  },
  { name: 'an unknown route', request: () => ({ path: '/v2/chat' }), counted: 'nothing' },
  {
    name: 'a list of models',
    request: () => ({ method: 'GET', body: '', path: '/v1/models' }),
    counted: 'nothing',
  },
  {
    name: 'a token with another signature',
    request: token => ({ token: `${token.slice(0, -20)}${'A'.repeat(20)}` }),
    counted: 'nothing',
  },
  {
    name: 'a token without a signature',
    request: token => ({ token: `${UNSIGNED}.${claimsOf(token)}.AA` }),
    counted: 'nothing',
  },
  refused('a model with the quotes of a log line', request('a","mintmark.tenant":"other\u0000\n\u202e')),
  refused('a model that is no UTF-8', Buffer.from('{"model":"\u00ff\u00fe"}', 'latin1')),
  refused('a model of 100 KB', request('m'.repeat(100_000))),
]
