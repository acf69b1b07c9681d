import { connect, createServer, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { rawHttp } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import { type Contract, checkContract } from './check-contract.ts'
import { ACME_HEADERS } from './check-environment.ts'
import { chat, send } from './client.ts'
import { startNginx } from './nginx.ts'
import { checkHttp2 } from './over-http2.ts'
import { isAbsent } from './program.ts'

checkContract('deploy/nginx', {
  absent: isAbsent('nginx'),
  start: startNginx,
  env: {},
  credentials: ['key', 'token'],
  guide: 'docs/guides/nginx.md',
  refusesBeforeBody: 'every',
  checks: { key: 'once', token: 'none' },
  entitles: true,
  verifiesTokens: true,
  hidesForeign: true,
  passesOn: 'user-agent',
  more: checkNginx,
  passedOn: ['accept', 'user-agent', 'x-forwarded-for'],
})

const SOURCES = 'limit_conn mintmark_sources 256;'

function checkNginx(contract: Contract): void {
  const { environment } = contract
  checkHttp2(
    contract,
    async behind => {
      const port = await freePort()
      const listen = 'listen 0.0.0.0:10000;'
      const nginx = await startNginx(behind, [[listen, `listen 127.0.0.1:${port} http2; ${listen}`]])
      return { url: `http://127.0.0.1:${port}`, stop: nginx.stop }
    },
    'refused',
    'refused',
  )

  const strings = (count: number) => `[${Array(count).fill('""').join(',')}]`
  it.each([
    ['strings in many lists', Array.from({ length: 999 }, (_, i) => `"a${i}":${strings(1_300)}`).join(',')],
    [
      'brackets in many lists',
      Array.from({ length: 999 }, (_, i) => `"a${i}":[${'[],'.repeat(1_300)}1]`).join(','),
    ],
    ['escaped quotes', `"a":"${'\\"'.repeat(2_000_000)}"`],
    ['short runs of backslashes', `"a":"${`${'\\'.repeat(31)}"`.repeat(130_000)}"`],
  ])('bounds what it looks at in a whole body: %s', async (_, members) => {
    const body = `{"model":"llama-3-8b",${members}}`
    // It is valid JSON: without a bound it would be admitted.
    expect((await send(environment().gateway.url, { token: environment().acme.token, body })).status).toBe(
      400,
    )
  })

  it.each(['POST /v1/chat/completions', 'GET /v1/models'])('takes at most 100 headers: %s', async line => {
    const head = `${line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n`
    const answer = await rawHttp(environment().gateway.url, `${head}${'a:\r\n'.repeat(99)}\r\n`)
    expect(answer.status).toBe(431)
    expect(answer.text).toContain('too_many_headers')
    expect((await rawHttp(environment().gateway.url, `${head}${'a:\r\n'.repeat(98)}\r\n`)).status).toBe(401)
  })

  it('answers 100 requests of a connection, however many were sent at once', async () => {
    const asked = 'GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n'
    const { text } = await rawHttp(environment().gateway.url, asked.repeat(300))
    expect(text.match(/HTTP\/1\.1 401 /g)).toHaveLength(100)
  })

  it('passes on nothing of a list that only the answer to a check has', async () => {
    const secrets = Object.keys(ACME_HEADERS).map(name => `${name}: acme\r\n`)
    const answer =
      'HTTP/1.1 200 OK\r\nAuthorization: Bearer eyJ\r\nX-Mintmark-Denial: eyJ\r\nX-Mintmark-Reason: eyJ\r\n' +
      `X-Envoy-Auth-Headers-To-Remove: eyJ\r\n${secrets.join('')}Content-Length: 2\r\n\r\n{}`
    const foreign = createServer(socket => socket.once('data', () => socket.end(answer)))
    const gateway = await freePort()
    await new Promise<void>(resolve => foreign.listen(gateway, '127.0.0.1', resolve))
    const { behind, acme } = environment()
    const nginx = await startNginx({ ...behind, ports: { ...behind.ports, gateway } })
    try {
      const { status, headers } = await send(nginx.url, {
        ...{ method: 'GET', path: '/v1/models', token: acme.secret },
      })
      expect(status).toBe(200)
      expect(JSON.stringify(headers)).not.toMatch(/eyJ|acme|mintmark/)
    } finally {
      await nginx.stop()
      foreign.close()
    }
  })

  it('answers another method in JSON, with the allowed one', async () => {
    const answer = await send(environment().gateway.url, { method: 'PUT' })
    expect(answer.status).toBe(405)
    expect(answer.headers.allow).toBe('POST')
    expect(JSON.parse(answer.text).error.code).toBe('method_not_allowed')
  })

  it.each([
    ['an IPv6 network', ['2001:db8::1', '2001:db8:0:0:ffff::2'], '2001:db8::3', '2001:db8:0:1::1'],
    ['an IPv4 address', ['192.0.2.1', '192.0.2.1'], '192.0.2.1', '192.0.2.2'],
    ['one written as IPv6', ['::ffff:192.0.2.1', '::ffff:192.0.2.1'], '::ffff:192.0.2.1', '::ffff:192.0.2.2'],
    [
      'an IPv6 site',
      ['2001:db8:0:1::1', '2001:db8:0:2::1'],
      '2001:db8:0:3::1',
      '2001:db8:1::1',
      'limit_conn mintmark_sites 1024;',
    ],
  ])('serves so many requests of %s at a time', async (_, holders, same, other, limit = SOURCES) => {
    const realIp = 'set_real_ip_from 127.0.0.1; real_ip_header X-Source;'
    const nginx = await startNginx(environment().behind, [[limit, `${limit.replace(/\d+/, '2')} ${realIp}`]])
    const { token } = environment().acme
    const from = (source: string) =>
      send(nginx.url, { token, headers: [['X-Source', source]], body: chat('llama-3-8b') })
    const sockets: Socket[] = []
    const hold = () => {
      const source = holders[sockets.length % holders.length]
      const socket = connect({ host: '127.0.0.1', port: Number(new URL(nginx.url).port) })
      const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Source: ${source}\r\nAuthorization: Bearer ${token}\r\n`
      socket.on('error', () => {})
      socket.write(`${head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{`)
      sockets.push(socket)
    }
    try {
      const refused = await until(
        'the limit is reached',
        () => {
          // Another one each time: while a question is answered, it takes the place of one, which is then refused.
          hold()
          return from(same)
        },
        ({ status }) => status === 429,
      )
      expect(JSON.parse(refused.text).error.code).toBe('too_many_requests')
      expect((await from(other)).status).toBe(200)
    } finally {
      for (const socket of sockets) socket.destroy()
      await nginx.stop()
    }
  })
}
