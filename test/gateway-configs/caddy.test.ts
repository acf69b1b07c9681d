import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mayBeLookup } from '../../src/api-keys/imported/lookup-secret.ts'
import { freePort } from '../support/free-port.ts'
import { rawHttp } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import { startCaddy } from './caddy.ts'
import { type Contract, checkContract } from './check-contract.ts'
import type { Gateway } from './check-environment.ts'
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
  checkHttp2(
    contract,
    behind => startCaddy(behind, [['\tservers {', '\tservers {\n\t\tprotocols h1 h2c']]),
    'answered',
  )

  it('writes no credential into its logs', async () => {
    const { mintmark, ports } = environment().behind
    const away = { mintmark, ports: { ...ports, gateway: await freePort() } }
    const caddy = await startCaddy(away, [['\theader -Server', '\tlog\n\theader -Server']])
    const { secret } = environment().acme
    try {
      // Refused here, or for want of Mintmark.
      for (const [name, status] of [
        ['Authorization', 401],
        ['X-Api-Key', 503],
        ['Api-Key', 503],
        ['X_Api_Key', 401],
        ['Cookie', 401],
        ['X-Secret', 401],
      ] as const) {
        const headers: [string, string][] = [[name, secret]]
        const path = `/v1/chat/completions?api_key=${secret}`
        expect((await send(caddy.url, { path, headers })).status).toBe(status)
        expect((await send(caddy.url, { method: 'GET', path: '/v1/models', headers })).status).toBe(status)
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

  describe('what cannot be a credential', () => {
    let caddy: Gateway
    /** Mintmark is down: it is not asked. */
    beforeAll(async () => {
      const { mintmark, ports } = environment().behind
      caddy = await startCaddy({ mintmark, ports: { ...ports, gateway: await freePort() } })
    })
    afterAll(() => caddy.stop())

    it.each<[string, [string, string][]]>([
      ['none', []],
      ['one in a header for something else', [['X-Secret', 'A'.repeat(30)]]],
      ['a short one', [['Authorization', 'Bearer nonsense']]],
      ['24 characters', [['Authorization', `bearer ${'A'.repeat(24)}`]]],
      ['no value', [['Authorization', 'Bearer']]],
      ['another scheme', [['Authorization', `Basic ${btoa(`acme:${'A'.repeat(30)}`)}`]]],
      ['two words', [['Authorization', `Bearer ${'A'.repeat(30)} ${'A'.repeat(30)}`]]],
    ])('is refused as Mintmark refuses it, which is not asked: %s', async (_, headers) => {
      const { gateway } = environment().behind.ports
      const checked = await send(`http://127.0.0.1:${gateway}`, { path: '/check', headers })
      for (const [method, path] of [
        ['POST', '/v1/chat/completions'],
        ['GET', '/v1/models'],
      ] as const) {
        const refused = await send(caddy.url, {
          method,
          path,
          headers,
          ...(method === 'GET' && { body: '' }),
        })
        expect(refused).toMatchObject({ status: 401, text: checked.text })
        expect(refused.headers['www-authenticate']).toBe(checked.headers['www-authenticate'])
      }
    })

    it.each<[string, [string, string][]]>([
      ['25 characters', [['Authorization', `Bearer ${'A'.repeat(25)}`]]],
      ['what has a dot, as tokens have', [['Authorization', 'bearer  a.b.c']]],
      ['an empty header', [['Authorization', '']]],
      ['one in another header', [['x-api-key', 'short']]],
      [
        'one in another header too',
        [
          ['Authorization', 'short'],
          ['api-key', 'short'],
        ],
      ],
    ])('does not include %s', async (_, headers) => {
      expect((await send(caddy.url, { headers })).status).toBe(503)
    })

    it('is shorter than every imported key', () => {
      expect([24, 25].map(length => mayBeLookup('A'.repeat(length)))).toEqual([false, true])
    })
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
