import { connect as connectHttp2, type OutgoingHttpHeaders } from 'node:http2'
import { MARK, NAMES, SPELLINGS, underscored, VALUE } from '../../gateway-configs/forged-headers.ts'
import { rawHttp } from '../../support/raw-http.ts'
import { MODEL } from '../installation.ts'

/** A valid request that also carries a forged header, in one form. */
interface HeaderForm {
  how: string
  needsHttp2?: boolean
  send(url: string, credential: string, agent: string): Promise<void>
}

const BODY = JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'Hello' }] })
const LATIN = 'latin1'

/** Header lines that a parser may read as this header, or as the end of another. */
const LINES: Record<string, (name: string) => string> = {
  ...Object.fromEntries(
    SPELLINGS.map(([how, of]) => [
      how,
      (name: string) =>
        of(name)
          .map(([spelled, value]) => `${spelled}: ${value}\r\n`)
          .join(''),
    ]),
  ),
  'a space before the colon': name => `${name} : ${VALUE}\r\n`,
  'a tab before the colon': name => `${name}\t: ${VALUE}\r\n`,
  'a space before the name': name => ` ${name}: ${VALUE}\r\n`,
  'a tab before the name': name => `\t${name}: ${VALUE}\r\n`,
  'folded onto a harmless one': name => `X-Harmless: 1\r\n ${name}: ${VALUE}\r\n`,
  'its value folded': name => `${name}:\r\n ${VALUE}\r\n`,
  'after a bare line feed': name => `X-Harmless: 1\n${name}: ${VALUE}\r\n`,
  'after a bare carriage return': name => `X-Harmless: 1\r${name}: ${VALUE}\r\n`,
  'after an empty name': name => `: 1\r\n${name}: ${VALUE}\r\n`,
  'a NUL in the name': name => `${name}\0: ${VALUE}\r\n`,
  'a NUL before the name': name => `\0${name}: ${VALUE}\r\n`,
  'a vertical tab after the name': name => `${name}\v: ${VALUE}\r\n`,
  'a no-break space after the name': name => `${name}\xa0: ${VALUE}\r\n`,
  'a no-break space before the name': name => `\xa0${name}: ${VALUE}\r\n`,
  'DEL after the name': name => `${name}\x7f: ${VALUE}\r\n`,
  'a colon before the name': name => `:${name}: ${VALUE}\r\n`,
  'no colon': name => `${name} ${VALUE}\r\n`,
  'percent-encoded': name => `${name.replaceAll('-', '%2d')}: ${VALUE}\r\n`,
  'a letter with an accent': name => `${name.replace(/[aeiou]/, '\xe9')}: ${VALUE}\r\n`,
  'a value that is not ASCII': name => `${name}: \xff${VALUE}\xe9\r\n`,
  'a value with tabs': name => `${name}:\t${VALUE}\t\r\n`,
  'a very long value': name => `${name}: ${VALUE}${'9'.repeat(4_000)}\r\n`,
  '20 times': name => `${name}: ${VALUE}\r\n`.repeat(20),
  'nominated by Connection': name => `Connection: close, ${name}\r\n${name}: ${VALUE}\r\n`,
  'nominated by Connection with underscores': name =>
    `Connection: close, ${underscored(name)}\r\n${underscored(name)}: ${VALUE}\r\n`,
  'nominated by Connection, and not sent': name => `Connection: close, ${name}\r\n`,
  'nominated by Connection twice': name => `Connection: ${name}\r\nConnection: close, ${name}\r\n`,
  'nominated by Proxy-Connection': name => `Proxy-Connection: ${name}\r\n${name}: ${VALUE}\r\n`,
  'nominated by Keep-Alive': name => `Keep-Alive: ${name}\r\n${name}: ${VALUE}\r\n`,
  'with an upgrade to HTTP/2': name =>
    `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n${name}: ${VALUE}\r\n`,
  'beside a forwarded prefix': name => `X-Forwarded-${name}: ${VALUE}\r\n${name}: ${VALUE}\r\n`,
}

/** What comes after the headers, for a body in chunks. */
const CHUNKED: Record<string, (name: string) => [headers: string, body: string]> = {
  'as a trailer': name => ['', `${chunk(BODY)}0\r\n${name}: ${VALUE}\r\n\r\n`],
  'as a trailer that is announced': name => [
    `Trailer: ${name}\r\nTE: trailers\r\nConnection: TE, close\r\n`,
    `${chunk(BODY)}0\r\n${name}: ${VALUE}\r\n\r\n`,
  ],
  'as a trailer with underscores': name => ['', `${chunk(BODY)}0\r\n${underscored(name)}: ${VALUE}\r\n\r\n`],
  'as a trailer, folded': name => ['', `${chunk(BODY)}0\r\nX-Harmless: 1\r\n ${name}: ${VALUE}\r\n\r\n`],
  'as an extension of a chunk': name => [
    '',
    `${BODY.length.toString(16)};${name}=${VALUE}\r\n${BODY}\r\n0;${name}=${VALUE}\r\n\r\n`,
  ],
}
const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`

const HTTP2: Record<
  string,
  (name: string) => { headers: OutgoingHttpHeaders; trailers?: OutgoingHttpHeaders }
> = {
  'over HTTP/2': name => ({ headers: { [name]: VALUE } }),
  'over HTTP/2, twice': name => ({ headers: { [name]: [VALUE, `${VALUE}-again`] } }),
  'over HTTP/2, with underscores': name => ({ headers: { [underscored(name)]: VALUE } }),
  'over HTTP/2, empty': name => ({ headers: { [name]: '' } }),
  'over HTTP/2, as a trailer': name => ({ headers: {}, trailers: { [name]: VALUE } }),
  'over HTTP/2, as a trailer with underscores': name => ({
    headers: {},
    trailers: { [underscored(name)]: VALUE },
  }),
}

/** Each name in each form. */
export const HEADER_FORMS: readonly HeaderForm[] = NAMES.flatMap(name => [
  ...Object.entries(LINES).map(
    ([how, of]): HeaderForm => ({
      how: `${name}, ${how}`,
      send: (url, credential, agent) => {
        const lines = of(name)
        const close = /^connection:/im.test(lines) ? '' : 'Connection: close\r\n'
        const length = `Content-Length: ${BODY.length}\r\n`
        return raw(url, `${first(credential, agent)}${length}${close}${lines}\r\n${BODY}`)
      },
    }),
  ),
  ...Object.entries(CHUNKED).map(
    ([how, of]): HeaderForm => ({
      how: `${name}, ${how}`,
      send: (url, credential, agent) => {
        const [lines, body] = of(name)
        const close = lines.includes('Connection') ? '' : 'Connection: close\r\n'
        const head = `${first(credential, agent)}Transfer-Encoding: chunked\r\n${close}${lines}\r\n`
        return raw(url, head + body)
      },
    }),
  ),
  ...Object.entries(HTTP2).map(
    ([how, of]): HeaderForm => ({
      how: `${name}, ${how}`,
      needsHttp2: true,
      send: (url, credential, agent) => {
        const { headers, trailers } = of(name)
        return overHttp2(
          url,
          { ...headers, authorization: `Bearer ${credential}`, 'user-agent': agent },
          trailers,
        )
      },
    }),
  ),
])

export const isForged = (text: string): boolean => text.includes(MARK)

const first = (credential: string, agent: string) =>
  `POST /v1/chat/completions HTTP/1.1\r\nHost: inference.example.com\r\nUser-Agent: ${agent}\r\nAuthorization: Bearer ${credential}\r\nContent-Type: application/json\r\n`

/** Whatever is answered: what counts is what the engine has seen. */
async function raw(url: string, bytes: string): Promise<void> {
  await rawHttp(url, Buffer.from(bytes, LATIN)).catch(() => {})
}

function overHttp2(url: string, headers: OutgoingHttpHeaders, trailers?: OutgoingHttpHeaders): Promise<void> {
  const session = connectHttp2(url)
  return new Promise<void>(resolve => {
    session.once('error', () => resolve()).setTimeout(10_000, () => resolve())
    const stream = session.request(
      { ':method': 'POST', ':path': '/v1/chat/completions', 'content-type': 'application/json', ...headers },
      { waitForTrailers: trailers !== undefined } as object,
    )
    if (trailers) stream.once('wantTrailers', () => stream.sendTrailers(trailers))
    stream.on('error', () => {}).once('close', resolve)
    stream.resume().end(BODY)
  }).finally(() => session.destroy())
}
