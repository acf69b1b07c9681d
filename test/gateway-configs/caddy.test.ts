import { expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import { rawHttp } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import { startCaddy } from './caddy.ts'
import { type Contract, checkContract } from './check-contract.ts'
import { chat, send } from './client.ts'
import { checkHttp2 } from './over-http2.ts'
import { isAbsent } from './program.ts'

checkContract('deploy/caddy', {
  absent: isAbsent('caddy'),
  start: startCaddy,
  credentials: ['key', 'token'],
  guide: 'docs/guides/caddy.md',
  refusesBeforeBody: 'every',
  checks: { key: 'each', token: 'each' },
  entitles: false,
  explainsMalformed: false,
  hidesForeign: true,
  verifiesTokens: false,
  passesOn: 'user-agent',
  more: checkCaddy,
  passedOn: [
    'accept',
    'user-agent',
    'accept-encoding',
    'x-forwarded-for',
    'x-forwarded-proto',
    'x-forwarded-host',
  ],
})

function checkCaddy(contract: Contract): void {
  const { environment } = contract
  checkHttp2(contract, () =>
    startCaddy(environment().behind, [['\tservers {', '\tservers {\n\t\tprotocols h1 h2c']]),
  )

  it('writes no credential into its logs', async () => {
    const { mintmark, ports } = environment().behind
    const away = { mintmark, ports: { ...ports, gateway: await freePort() } }
    const caddy = await startCaddy(away, [['\theader -Server', '\tlog\n\theader -Server']])
    const { secret } = environment().acme
    try {
      for (const name of ['Authorization', 'X-Api-Key', 'Api-Key', 'X_Api_Key', 'Cookie', 'X-Secret']) {
        const headers: [string, string][] = [[name, secret]]
        const path = `/v1/chat/completions?api_key=${secret}`
        expect((await send(caddy.url, { path, headers })).status).toBe(503)
        expect((await send(caddy.url, { method: 'GET', path: '/v1/models', headers })).status).toBe(503)
      }
      await until(
        'they are written',
        () => caddy.output?.().match(/handled request/g)?.length,
        count => count !== undefined && count >= 12,
      )
      expect(caddy.output?.()).not.toContain(secret)
    } finally {
      await caddy.stop()
    }
  })

  it.each([
    ['with a length', (body: string) => `Content-Length: ${body.length}\r\n\r\n${body}`],
    [
      'in chunks',
      (body: string) =>
        `Transfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    ],
  ])('answers a body that is too long 413: %s', async (_, framed) => {
    const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nAuthorization: Bearer ${environment().acme.secret}\r\n`
    const body = chat('llama-3-8b', { pad: 'A'.repeat(4_194_304) })
    const { status, text } = await rawHttp(environment().gateway.url, head + framed(body))
    // It closes while the body is still arriving, which may cut the answer off.
    if (status !== 0)
      expect({ status, text }).toMatchObject({ status: 413, text: expect.stringContaining('4194304') })
    expect(environment().upstream.requests.filter(({ body: whole }) => whole === body)).toHaveLength(0)
  })

  it('loses a body that it has looked at after forward_auth', async () => {
    const look =
      '@salted expression `{http.request.body}.contains("cache_salt")`\n\t\t\t\trespond @salted 400'
    const engine = '\t\t\t\tvars away engine'
    const caddy = await startCaddy(environment().behind, [[engine, `${engine}\n\t\t\t\t${look}`]])
    const { token } = environment().acme
    try {
      const salted = await send(caddy.url, { token, body: chat('llama-3-8b', { cache_salt: 'mine' }) })
      expect(salted.status).toBe(400)
      // Nor does any other body reach the engine.
      expect((await send(caddy.url, { token })).status).toBe(503)
      expect(environment().upstream.requests).toHaveLength(0)
    } finally {
      await caddy.stop()
    }
  })

  it('takes headers of at most 16 KB, and what Go adds to that', async () => {
    const headers: [string, string][] = [['x-long', 'a'.repeat(24_000)]]
    expect((await send(environment().gateway.url, { token: environment().acme.token, headers })).status).toBe(
      431,
    )
  })

  it('lets a stream go on after the time for the body', async () => {
    const caddy = await startCaddy(environment().behind, [['read_body 30s', 'read_body 100ms']])
    try {
      const response = await fetch(`${caddy.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${environment().acme.token}`, 'content-type': 'application/json' },
        body: chat('llama-3-8b', { stream: true }),
      })
      expect(await response.text()).toContain('[DONE]')
    } finally {
      await caddy.stop()
    }
  })
}
