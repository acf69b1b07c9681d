import { setTimeout as sleep } from 'node:timers/promises'
import { unknownKey } from '../faults/environment/replica.ts'
import { type Held, http2Streams, type Refusal, rawExchange } from './raw-client.ts'

/** Where an attack goes, and how much of it there is. */
export interface Target {
  url: string
  /** Before the path of the engine's API. */
  prefix: string
  /** A credential that is accepted, with which a body for another model is refused. */
  valid: string
  token: string
}

/** The size of an attack, which is larger in the full form. */
export interface Scale {
  /** How long each kind lasts. */
  ms: number
  /** Connections or streams that hold a body each. */
  holding: number
  /** Connections that send little or nothing. */
  silent: number
}

/** One kind of load that must be refused, and must cost honest clients nothing. */
export interface Attack {
  name: string
  needsHttp2?: boolean
  /** It is aimed at what Mintmark itself is made of. */
  forMintmark?: boolean
  /** It uses a valid credential with a foreign model. */
  needsModelCheck?: boolean
  run(target: Target, scale: Scale): Promise<Refusal[]>
}

const BODY_BYTES = 4_000_000
const PART = Buffer.alloc(64 * 1024, 'a')
/** A body of as many bytes, each of them a chunk. */
const CHUNKS = Buffer.from('1\r\na\r\n'.repeat(11_000))
/** A flood of whole requests is sent over so many connections, each with this pause between two. */
const LANES = 4
const PAUSE_MS = 40
const TRICKLE_MS = 100
const LINES = 2_000
/** Of a connection. HAProxy takes four. */
const STREAMS_UNREAD = 4
/** More answers than the kernel holds for a connection. */
const PIPELINED = 3_000

type Credential = (target: Target) => string | undefined
const CREDENTIALS: readonly [name: string, authorization: Credential][] = [
  ['no credential', () => undefined],
  ['a malformed one', () => 'Bearer nonsense'],
  ['a.b.c in lower case', () => 'bearer a.b.c'],
  ['an unknown key', () => `Bearer ${unknownKey()}`],
  ['a token with a wrong signature', ({ token }) => `Bearer ${token.slice(0, -8)}AAAAAAAA`],
]
const [NONE, , , UNKNOWN] = CREDENTIALS as [Named, Named, Named, Named]
type Named = (typeof CREDENTIALS)[number]
const VALID: Named = ['a valid one and a foreign model', ({ valid }) => `Bearer ${valid}`]

/** Bodies that are slow to read in one way or another. The model that they name is not the tenant's. */
const SLOW_TO_READ: readonly string[] = [
  `{"${'a'.repeat(60_000)}":1,"model":"x"}`,
  `{"${'\\u0061'.repeat(600_000)}":1,"model":"x"}`,
  `{"model":"${'m'.repeat(200_000)}"}`,
  `{${' '.repeat(BODY_BYTES)}"model":"x"}`,
  `{"model":"x","a":${'['.repeat(1_000_000)}`,
  `{"model":"x"${Array.from({ length: 200_000 }, (_, n) => `,"n${n}":1`).join('')}}`,
  `{"model":"x","n":${'1'.repeat(1_000_000)}}`,
  `{"model":"x","a":"${'\\"'.repeat(1_000_000)}"}`,
  `{"model":"x","messages":[{${names('"image_embedz":1', 240_000)}}]}`,
  `{"model":"x","messages":[{${names('"\\u0075uid":1', 260_000)}}]}`,
  `{"model":"x","input":[${names('"image_url"', 250_000)}]}`,
]

function names(one: string, count: number): string {
  return Array(count).fill(one).join(',')
}

/** Every kind, for HTTP. */
export const HTTP_ATTACKS: readonly Attack[] = [
  ...CREDENTIALS.map(
    ([who, of]): Attack => ({
      name: `whole bodies of 4 MB, ${who}`,
      run: (target, scale) =>
        flood(scale, held => rawExchange(target.url, head(target, of(target)), bodyParts(BODY_BYTES), held)),
    }),
  ),
  ...CREDENTIALS.map(
    ([who, of]): Attack => ({
      name: `bodies a byte short of 4 MB, ${who}`,
      run: (target, { ms, holding }) =>
        hold(holding, ms, held =>
          rawExchange(target.url, head(target, of(target)), bodyParts(BODY_BYTES - 1), held),
        ),
    }),
  ),
  ...CREDENTIALS.map(
    ([who, of]): Attack => ({
      name: `HTTP/2 streams without an end, 4 MB each, ${who}`,
      needsHttp2: true,
      run: (target, { ms, holding }) =>
        http2Streams(target.url, holding, http2Head(target, of(target)), Buffer.alloc(BODY_BYTES, 'a'), {
          until: performance.now() + ms,
        }),
    }),
  ),
  {
    name: 'HTTP/2 streams of which only the headers come, no credential',
    needsHttp2: true,
    run: async (target, { ms, silent }) => {
      const sessions = Array.from({ length: 4 }, () =>
        http2Streams(target.url, silent / 4, http2Head(target, undefined), Buffer.alloc(0), {
          until: performance.now() + ms,
        }),
      )
      return (await Promise.all(sessions)).flat()
    },
  },
  {
    name: 'HTTP/2 requests whose answers are not read, no credential',
    needsHttp2: true,
    run: async (target, { ms, holding }) => {
      const held = { until: performance.now() + ms, readsNothing: true }
      const sessions = Array.from({ length: 2 * holding }, () =>
        http2Streams(target.url, STREAMS_UNREAD, http2Head(target, undefined), Buffer.alloc(0), held),
      )
      return (await Promise.all(sessions)).flat()
    },
  },
  ...[NONE, UNKNOWN, VALID].map(
    ([who, of]): Attack => ({
      name: `bodies that are slow to read, ${who}`,
      needsModelCheck: of === VALID[1],
      run: (target, scale) =>
        flood(scale, (held, n) => {
          const body = Buffer.from(SLOW_TO_READ[n % SLOW_TO_READ.length] ?? '')
          return rawExchange(target.url, head(target, of(target), { length: body.length }), [body], held)
        }),
    }),
  ),
  ...[NONE, UNKNOWN, VALID].map(
    ([who, of]): Attack => ({
      name: `bodies in chunks of a byte, ${who}`,
      forMintmark: true,
      needsModelCheck: of === VALID[1],
      run: (target, scale) =>
        flood(
          scale,
          held =>
            rawExchange(target.url, head(target, of(target), { length: 'chunked' }), chunksOfAByte(), held),
          scale.holding,
        ),
    }),
  ),
  ...[NONE, UNKNOWN].map(
    ([who, of]): Attack => ({
      name: `GET /v1/models with a body a byte short of 4 MB, ${who}`,
      run: (target, { ms, holding }) =>
        hold(holding, ms, held => {
          const asked = head(target, of(target), { method: 'GET', path: '/v1/models' })
          return rawExchange(target.url, asked, bodyParts(BODY_BYTES - 1), held)
        }),
    }),
  ),
  {
    name: 'bodies of which a byte comes every 100 ms, no credential',
    run: (target, { ms, silent }) =>
      hold(silent / 4, ms, held => rawExchange(target.url, head(target, undefined), trickle(held), held)),
  },
  {
    name: 'chunked bodies with 1,000 trailers, no credential',
    run: (target, scale) =>
      flood(scale, held =>
        rawExchange(target.url, head(target, undefined, { length: 'chunked' }), [TRAILERS], held),
      ),
  },
  ...[
    ['one of 60 kB', `x-a: ${'a'.repeat(60_000)}\r\n`],
    ['2,000 lines', Array.from({ length: LINES }, (_, n) => `x_a-${n}: ${n}\r\n`).join('')],
    ['2,000 of one name', 'x-vllm-priority: 1\r\n'.repeat(LINES)],
    ['a credential 2,000 times', 'authorization: Bearer a.b.c\r\n'.repeat(LINES)],
  ].map(
    ([what, lines]): Attack => ({
      name: `headers: ${what}`,
      run: (target, scale) =>
        flood(scale, held => {
          const first = head(target, undefined, { length: 0 }).slice(0, -2)
          return rawExchange(target.url, `${first}${lines}\r\n`, [], held)
        }),
    }),
  ),
  {
    name: 'headers without an end, at full speed',
    run: (target, { ms, holding }) =>
      hold(holding / 4, ms, held =>
        rawExchange(target.url, head(target, undefined).slice(0, -2), headerLines(held), held),
      ),
  },
  {
    name: 'connections with half of their headers',
    run: (target, { ms, silent }) =>
      hold(silent, ms, held => rawExchange(target.url, head(target, undefined).slice(0, 40), [], held)),
  },
  {
    name: 'connections that send nothing',
    run: (target, { ms, silent }) => hold(silent, ms, held => rawExchange(target.url, '', [], held)),
  },
  {
    name: 'connections kept after a refusal',
    run: (target, { ms, silent }) =>
      hold(silent, ms, held => rawExchange(target.url, head(target, undefined, { length: 0 }), [], held)),
  },
  {
    name: 'connections with half of the HTTP/2 preface',
    run: (target, { ms, silent }) =>
      hold(silent / 4, ms, held => rawExchange(target.url, 'PRI * HTTP/2.0\r\n\r\nSM', [], held)),
  },
  {
    name: 'clients that never read their answers',
    run: (target, { ms, holding }) => {
      const asked = head(target, undefined, { method: 'GET', path: '/v1/models', length: 0 })
      return hold(holding / 4, ms, held =>
        rawExchange(target.url, asked.repeat(PIPELINED), [], { ...held, readsNothing: true }),
      )
    },
  },
]

const TRAILERS = Buffer.from(
  `2\r\n{}\r\n0\r\n${Array.from({ length: 1_000 }, (_, n) => `x-data-parallel-${n}: ${n}\r\n`).join('')}\r\n`,
)

function head(
  { prefix }: Target,
  authorization: string | undefined,
  options: { method?: string; path?: string; length?: number | 'chunked' } = {},
): string {
  const { method = 'POST', path = '/v1/chat/completions', length = BODY_BYTES } = options
  const framing = length === 'chunked' ? 'Transfer-Encoding: chunked' : `Content-Length: ${length}`
  const credential = authorization ? `Authorization: ${authorization}\r\n` : ''
  return `${method} ${prefix}${path} HTTP/1.1\r\nHost: inference.example.com\r\n${credential}Content-Type: application/json\r\n${framing}\r\n\r\n`
}

const http2Head = ({ prefix }: Target, authorization: string | undefined): Record<string, string> => ({
  ':path': `${prefix}/v1/chat/completions`,
  'content-type': 'application/json',
  ...(authorization && { authorization }),
})

function* bodyParts(bytes: number): Iterable<Buffer> {
  for (let left = bytes; left > 0; left -= PART.length) yield PART.subarray(0, left)
}

function* chunksOfAByte(): Iterable<Buffer> {
  for (let left = BODY_BYTES; left > 0; left -= CHUNKS.length) yield CHUNKS
}

async function* trickle({ until }: Held): AsyncIterable<Buffer> {
  while (performance.now() < until) {
    yield Buffer.from('{')
    await sleep(TRICKLE_MS)
  }
}

function* headerLines({ until }: Held): Iterable<Buffer> {
  const lines = Buffer.from(
    Array.from({ length: LINES }, (_, n) => `x-a-${n}: ${'a'.repeat(20)}\r\n`).join(''),
  )
  while (performance.now() < until) yield lines
}

/** Whole requests, one after another on each of so many lanes. */
export async function flood(
  { ms }: Scale,
  send: (held: Held, n: number) => Promise<Refusal>,
  lanes = LANES,
): Promise<Refusal[]> {
  const until = performance.now() + ms
  const refusals: Refusal[] = []
  let n = 0
  const lane = async () => {
    while (performance.now() < until) {
      refusals.push(await send({ until: until + ms }, n++))
      await sleep(PAUSE_MS)
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return refusals
}

/** So many at once, which stay for the whole time. */
export function hold(count: number, ms: number, send: (held: Held) => Promise<Refusal>): Promise<Refusal[]> {
  const until = performance.now() + ms
  return Promise.all(Array.from({ length: count }, () => send({ until, staysOpen: true })))
}
