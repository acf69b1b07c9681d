import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { rawHttp } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import { type Contract, checkContract } from './check-contract.ts'
import { send } from './client.ts'
import { MARK } from './forged-headers.ts'
import { startHaproxy } from './haproxy.ts'
import { checkHttp2 } from './over-http2.ts'
import { isAbsent } from './program.ts'

checkContract('deploy/haproxy', {
  absent: isAbsent('haproxy'),
  start: startHaproxy,
  env: { MINTMARK_SIGNING_ALG: 'RS256' },
  credentials: ['token'],
  guide: 'docs/guides/haproxy.md',
  refusesBeforeBody: 'every',
  explainsMalformed: false,
  checks: { token: 'none' },
  entitles: true,
  verifiesTokens: true,
  more: checkHaproxy,
  passedOn: ['x-forwarded-for'],
})

function checkHaproxy(contract: Contract): void {
  const { environment, expectOnlyOurs } = contract
  // The same listener takes it.
  checkHttp2(contract, behind => startHaproxy(behind), 'refused')

  it.each(['x-request-id', 'X_Request_Id', 'te'])('removes %s', async name => {
    const { status } = await send(environment().gateway.url, {
      token: environment().acme.token,
      headers: [[name, MARK]],
    })
    expect(status).toBe(200)
    expectOnlyOurs()
  })

  it('rejects an API key, and says to exchange it', async () => {
    const { status, text } = await send(environment().gateway.url, { token: environment().acme.secret })
    expect(status).toBe(401)
    expect(JSON.parse(text).error.message).toBe('Exchange your API key for a token and send that.')
    expect(environment().upstream.requests).toHaveLength(0)
  })

  it('takes headers of at most 65,536 bytes', async () => {
    const headers = Array.from({ length: 70 }, (_, i): [string, string] => [`x-${i}`, 'a'.repeat(1_000)])
    expect((await send(environment().gateway.url, { token: environment().acme.token, headers })).status).toBe(
      431,
    )
  })

  /** Connections that send half of their headers, from this address or with this PROXY line. */
  function holding(url: string) {
    const open: Socket[] = []
    const closed = new Set<Socket>()
    return {
      hold: (localAddress: string, first = '') => {
        const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), localAddress })
        socket.on('error', () => {}).once('close', () => closed.add(socket))
        socket.write(`${first}POST /v1/chat/completions HTTP/1.1\r\nHo`)
        open.push(socket)
      },
      closed: () => closed.size,
      end: () => {
        for (const socket of open) socket.destroy()
      },
    }
  }

  it('takes at most 128 connections of one source, and does not count those of another', async () => {
    const haproxy = await startHaproxy(environment().behind)
    const { hold, closed, end } = holding(haproxy.url)
    try {
      for (let i = 0; i < 140; i++) hold('127.0.0.2')
      await until('some are closed', closed, count => count >= 12)
      const { status } = await send(haproxy.url, { token: environment().acme.token })
      expect(status).toBe(200)
    } finally {
      end()
      await haproxy.stop()
    }
  })

  it('takes at most 256 connections of one IPv6 site, from however many of its networks', async () => {
    // The addresses come in PROXY lines, which HAProxy reads before the rules of a session.
    const haproxy = await startHaproxy(
      environment().behind,
      [
        ['bind 0.0.0.0:10000', 'bind 0.0.0.0:10000 accept-proxy'],
        ['tcp-request connection', 'tcp-request session'],
      ],
      proxyLine('2001:db8:ffff::1'),
    )
    const { hold, closed, end } = holding(haproxy.url)
    try {
      for (let i = 0; i < 270; i++) hold('127.0.0.1', proxyLine(`2001:db8:0:${i.toString(16)}::1`))
      await until('some are closed', closed, count => count >= 14)
      const line = `${proxyLine('2001:db8:1::1')}POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n\r\n`
      expect((await rawHttp(haproxy.url, line)).status).toBe(401)
    } finally {
      end()
      await haproxy.stop()
    }
  })

  it('ends a refused request whose body does not end', async () => {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(environment().gateway.url).port) })
    let answer = ''
    let closed = false
    socket
      .on('data', chunk => {
        answer += chunk
      })
      .on('error', () => {})
      .once('close', () => {
        closed = true
      })
    socket.write('POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n{')
    const begun = Date.now()
    const drip = setInterval(() => socket.write(' '), 500)
    try {
      // The rest is read for 10 seconds.
      await until('the connection is closed', () => closed, Boolean, 25_000)
      expect(answer).toMatch(/^HTTP\/1\.1 401 /)
      expect(Date.now() - begun).toBeGreaterThan(9_000)
    } finally {
      clearInterval(drip)
      socket.destroy()
    }
  }, 40_000)

  it('answers 429 to more than 96 requests of one source at a time, whose answers are not read', async () => {
    const haproxy = await startHaproxy(environment().behind)
    const sessions: ClientHttp2Session[] = []
    const statuses: number[] = []
    const ended = new Set<ClientHttp2Stream>()
    try {
      for (let i = 0; i < 40; i++) {
        const socket = connect({
          ...{ host: '127.0.0.1', port: Number(new URL(haproxy.url).port), localAddress: '127.0.0.2' },
        })
        const session = connectHttp2(haproxy.url, {
          createConnection: () => socket,
          settings: { initialWindowSize: 0 },
        })
        sessions.push(session.on('error', () => {}))
        for (let n = 0; n < 4; n++) {
          const stream = session.request({ ':method': 'POST', ':path': '/v1/chat/completions' })
          stream.on('error', () => {}).once('close', () => ended.add(stream))
          stream.on('response', headers => statuses.push(Number(headers[':status']))).end('{}')
        }
      }
      await until(
        'every request is answered or ended',
        () => statuses.length + ended.size,
        count => count >= 160,
      )
      const count = (wanted: number) => statuses.filter(status => status === wanted).length
      expect(count(401)).toBeLessThanOrEqual(96)
      expect(count(429)).toBeGreaterThan(0)
      expect(count(401) + count(429)).toBeLessThanOrEqual(128)
      expect((await send(haproxy.url, { token: environment().acme.token })).status).toBe(200)
    } finally {
      for (const session of sessions) session.destroy()
      await haproxy.stop()
    }
  })

  it('counts the requests of an IPv6 site together', async () => {
    const haproxy = await startHaproxy(environment().behind, [
      ['http-request track-sc2', 'http-request set-src req.hdr(x-source)\n  http-request track-sc2'],
      ['sc2_conn_cur gt 96', 'sc2_conn_cur gt 2'],
    ])
    const { token } = environment().acme
    const head = (source: string) =>
      `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Source: ${source}\r\nAuthorization: Bearer ${token}\r\n` +
      'Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{'
    const sockets: Socket[] = []
    const hold = () => {
      const socket = connect({ host: '127.0.0.1', port: Number(new URL(haproxy.url).port) })
      socket.on('error', () => {}).write(head(`2001:db8:0:${sockets.length}::1`))
      sockets.push(socket)
    }
    const from = (source: string) => send(haproxy.url, { token, headers: [['X-Source', source]] })
    try {
      const refused = await until(
        'the limit is reached',
        () => {
          // Another one each time: while a question is answered, it takes the place of one, which is then refused.
          hold()
          return from('2001:db8:0:ffff::1')
        },
        ({ status }) => status === 429,
      )
      expect(refused.headers['retry-after']).toBe('1')
      expect(JSON.parse(refused.text).error).toMatchObject({
        ...{ type: 'rate_limit_error', code: 'too_many_requests' },
      })
      expect((await from('2001:db8:1::1')).status).toBe(200)
    } finally {
      for (const socket of sockets) socket.destroy()
      await haproxy.stop()
    }
  })
}

const proxyLine = (source: string) => `PROXY TCP6 ${source} 2001:db8:ffff::2 40000 10000\r\n`
