import Anthropic from '@anthropic-ai/sdk'
import { decodeJwt } from 'jose'
import OpenAI from 'openai'
import { describe, expect, it } from 'vitest'
import { ORIGINS } from '../../deploy/generate/example.ts'
import { freePort } from '../support/free-port.ts'
import { timed, until } from '../support/until.ts'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment, Gateway } from './check-environment.ts'
import { type Answer, chat, type Sent, send } from './client.ts'
import { ask, startSlowEngine } from './slow-engine.ts'

/** Every spelling that RFC 9110 §11.1 and RFC 6750 §2.1 allow is one of these kinds. */
const SPELLINGS = ['Bearer ', 'bearer ', 'BEARER ', 'Bearer  ', 'bearer   '] as const
/** No client is known that sends it. */
const MIXED = 'bEaReR '

const JSON_TYPES = [
  'application/json;',
  'application/json ; charset=utf-8',
  'application/json; charset=UTF-8;',
  'application/json;charset=utf8',
  'application/json; charset="utf-8"',
  'Application/JSON; Charset=Utf-8',
]

/** `MINTMARK_MANY_CLIENTS=1`: ten times as many, and each figure printed, on a machine with nothing else to do. */
export const MANY = process.env.MINTMARK_MANY_CLIENTS === '1'
/** Requests that run at the engine. */
const STREAMS = MANY ? 2_000 : 200
/** Requests with one credential at the same time. */
const PARALLEL = MANY ? [20, 200] : [20]
/** The best of several: the machine may be busy in each. */
const ROUNDS = MANY ? 10 : 3

/** What clients that do nothing wrong may rely on, at every gateway. */
export function checkHonestClients(
  name: string,
  expected: Expected,
  environment: () => CheckEnvironment,
): void {
  const acme = (kind: 'key' | 'token') =>
    kind === 'key' ? environment().acme.secret : environment().acme.token
  const show = (sent: Sent) => send(environment().gateway.url, sent)
  const authorization = (value: string): Sent => ({ headers: [['Authorization', value]] })
  const list = (sent: Sent): Sent => ({ path: '/v1/models', ...sent, method: 'GET' })

  async function using<T>(
    ports: Partial<CheckEnvironment['behind']['ports']>,
    work: (gateway: Gateway) => Promise<T>,
  ): Promise<T> {
    const { behind } = environment()
    const gateway = await expected.start({ ...behind, ports: { ...behind.ports, ...ports } })
    try {
      return await work(gateway)
    } finally {
      await gateway.stop()
    }
  }
  const mintmarkAway = async () => ({ gateway: await freePort(), gatewayGrpc: await freePort() })

  describe.skipIf(expected.absent).each(expected.credentials)(
    `${name} and honest clients with a %s`,
    kind => {
      it.each([...SPELLINGS, MIXED])('takes the scheme as %j', async scheme => {
        expect((await show(authorization(scheme + acme(kind)))).status).toBe(200)
        expect((await show(list(authorization(scheme + acme(kind))))).status).toBe(200)
      })

      it('takes no tab after the scheme', async () => {
        expect((await show(authorization(`Bearer\t${acme(kind)}`))).status).toBe(401)
      })

      it('takes the same credential in a second header, and no other one', async () => {
        const second = (value: string): Sent => ({
          headers: [
            ['Authorization', `Bearer ${acme(kind)}`],
            ['X-Api-Key', value],
          ],
        })
        expect((await show(second(acme(kind)))).status).toBe(200)
        expect((await show(list(second(acme(kind))))).status).toBe(200)
        expect(JSON.stringify(environment().upstream.requests)).not.toMatch(/mmk_|eyJ/)
      })

      it.runIf(kind === 'key').each(['Authorization', 'X-Api-Key', 'Api-Key'])(
        'takes it in %s, for the list of models too',
        async header => {
          const headers: [string, string][] = [
            [header, `${header === 'Authorization' ? 'Bearer ' : ''}${acme(kind)}`],
          ]
          expect((await show({ headers })).status).toBe(200)
          expect((await show(list({ headers }))).status).toBe(200)
        },
      )

      it.each(JSON_TYPES)('takes a body of %s', async contentType => {
        expect((await show({ token: acme(kind), contentType })).status).toBe(200)
      })

      it("does not hand on the client's X-Request-Id", async () => {
        const headers: [string, string][] = [['X-Request-Id', 'of-the-client']]
        expect((await show({ token: acme(kind), headers })).status).toBe(200)
        expect(JSON.stringify(environment().upstream.requests)).not.toContain('of-the-client')
      })
    },
  )

  describe.skipIf(expected.absent)(`${name} and honest clients`, () => {
    const [origin = ''] = ORIGINS
    const [kind = 'token'] = expected.credentials
    const preflight = (from: string, path = '/v1/chat/completions'): Sent => ({
      method: 'OPTIONS',
      path,
      headers: [
        ['Origin', from],
        ['Access-Control-Request-Method', 'POST'],
        ['Access-Control-Request-Headers', 'authorization,content-type,x-stainless-os'],
      ],
    })

    it('answers preflights of the listed origins, and of no other', async () => {
      for (const path of ['/v1/chat/completions', '/v1/models']) {
        const { status, headers } = await show(preflight(origin, path))
        expect([200, 204]).toContain(status)
        expect(headers['access-control-allow-origin']).toBe(origin)
        // All others, or those of the clients by name.
        expect(headers['access-control-allow-headers']).toMatch(/^authorization, ?(\*$|.*x-stainless-os)/i)
        expect(headers['access-control-allow-methods']).toMatch(/^GET, ?POST$/)
      }
      for (const other of ['https://example.com', `${origin}.example.org`, 'null']) {
        const { headers } = await show(preflight(other))
        expect(headers['access-control-allow-origin']).toBeUndefined()
      }
      expect(environment().upstream.requests).toEqual([])
    })

    it('lets a page of a listed origin read each answer, and of no other', async () => {
      const from = (value: string, sent: Sent = {}): Sent => ({ ...sent, headers: [['Origin', value]] })
      const answers: [sent: Sent, status: number[]][] = [
        [{ token: acme(kind) }, [200]],
        [list({ token: acme(kind) }), [200]],
        [{}, [401, 403]],
        [{ token: acme(kind), body: '{}' }, [200, 400]],
        [{ token: acme(kind), body: chat('globex-sql') }, [200, 403]],
        [{ token: acme(kind), body: 'hello', contentType: 'text/plain' }, [200, 415]],
        [list({ token: acme(kind), path: '/v1/models/unknown' }), [404]],
      ]
      for (const [sent, statuses] of answers) {
        const { status, headers } = await show(from(origin, sent))
        expect(statuses).toContain(status)
        const forAll = expected.missingForAllPages && sent.token === undefined
        expect(headers['access-control-allow-origin']).toBe(forAll ? '*' : origin)
        expect((await show(from('https://example.com', sent))).headers['access-control-allow-origin']).toBe(
          forAll ? '*' : undefined,
        )
      }
      for (const { headers } of environment().upstream.requests) expect(headers.origin).toBeUndefined()
    })

    /** By those of a listed origin, or by every page, with Retry-After. */
    const expectReadableByPages = (headers: Answer['headers']) => {
      expect([origin, '*']).toContain(headers['access-control-allow-origin'])
      expect(headers['access-control-expose-headers']).toBe('*')
    }

    it('says of an engine that is down what it is', async () => {
      const { status, headers, text } = await using({ upstream: await freePort() }, ({ url }) =>
        send(url, { token: acme(kind), headers: [['Origin', origin]] }),
      )
      expect([502, 503, 504]).toContain(status)
      expectReadableByPages(headers)
      expect(headers['retry-after']).toBe('1')
      expect(JSON.parse(text).error).toMatchObject({ type: 'server_error', code: 'engine_unavailable' })
    })

    it('says of a token service that is down what it is', async () => {
      const answers = await using(await mintmarkAway(), async ({ url }) =>
        Promise.all([
          send(url, list({ token: acme('key'), headers: [['Origin', origin]] })),
          ...(kind === 'key' ? [send(url, { token: acme(kind), headers: [['Origin', origin]] })] : []),
        ]),
      )
      for (const { status, headers, text } of answers) {
        expect(status).toBe(503)
        expectReadableByPages(headers)
        expect(headers['retry-after']).toBe('1')
        expect(JSON.parse(text).error).toMatchObject({ type: 'server_error', code: 'unavailable' })
      }
    })

    it.runIf(expected.verifiesTokens)('admits tokens in every spelling without Mintmark', async () => {
      const statuses = await using(await mintmarkAway(), async ({ url }) =>
        Promise.all(
          SPELLINGS.map(async scheme => (await send(url, authorization(scheme + acme('token')))).status),
        ),
      )
      expect(statuses).toEqual(SPELLINGS.map(() => 200))
    })

    it.runIf(expected.verifiesTokens)(
      "lists the models of a token without Mintmark, to OpenAI's and Anthropic's clients",
      async () => {
        await using(await mintmarkAway(), async ({ url }) => {
          const { models, adapters } = decodeJwt<{ models: string[]; adapters: string[] }>(acme('token'))
          const openai = new OpenAI({ apiKey: acme('token'), baseURL: `${url}/v1`, maxRetries: 0 })
          const anthropic = new Anthropic({
            ...{ authToken: acme('token'), apiKey: null, baseURL: url, maxRetries: 0 },
          })
          const listed = (await openai.models.list()).data
          expect(listed.map(({ id }) => id)).toEqual([...models, ...adapters])
          expect(listed.map(({ owned_by }) => owned_by)).toEqual([
            ...models.map(() => 'mintmark'),
            ...adapters.map(() => 'acme'),
          ])
          for (const each of listed)
            expect(each).toMatchObject({ object: 'model', created: expect.any(Number) })
          const { data } = await anthropic.models.list()
          expect(data.map(({ id }) => id)).toEqual([...models, ...adapters])
          for (const { type, display_name, created_at } of data)
            expect({ type, display_name, created_at }).toEqual({
              ...{ type: 'model', display_name: expect.any(String), created_at: '1970-01-01T00:00:00Z' },
            })
          const [header, payload] = acme('token').split('.')
          for (const bad of [`${header}.${payload}.AAAA`, `${header}.${payload}.`, 'eyJ.eyJ.x'])
            expect((await send(url, list({ token: bad }))).status).toBe(401)
        })
        expect(environment().upstream.requests).toEqual([])
      },
    )

    it(`brings a premium request to the engine at once while ${STREAMS} others run`, {
      timeout: 180_000,
    }, async () => {
      const engine = await startSlowEngine()
      const batch = await environment().holder({ tier: 'batch', allowed_tiers: ['batch'] })
      const theirs = kind === 'key' ? batch.secret : batch.token
      try {
        await using({ upstream: engine.port }, async ({ url }) => {
          // Gateways limit what one source may hold.
          const running = []
          for (let i = 0; i < STREAMS; i += 20) {
            const some = Array.from({ length: 20 }, (_, k) =>
              ask(url, theirs, { stream: true, localAddress: `127.0.1.${1 + ((i + k) % 50)}` }),
            )
            running.push(...some)
            await Promise.all(some.map(({ begun }) => begun))
          }
          expect(engine.running()).toBe(STREAMS)
          const began = performance.now()
          const premium = ask(url, acme(kind), { stream: true })
          await premium.begun
          // It waited for none of the others.
          expect(engine.running()).toBe(STREAMS + 1)
          const ms = (engine.arrival('acme') ?? 0) - began
          if (MANY)
            console.log(
              `${name}: ${STREAMS} streams run, a premium request is at the engine in ${ms.toFixed(1)} ms`,
            )
          for (const { leave } of [...running, premium]) leave()
          await until(
            'the engine is idle',
            () => engine.running(),
            count => count === 0,
            60_000,
          )
        })
      } finally {
        await engine.stop()
      }
    })

    it.each(PARALLEL)(
      'asks Mintmark as seldom as its guide says for %i requests of one credential',
      async count => {
        const best: Partial<Record<'key' | 'token', number>> = {}
        for (const each of expected.credentials) {
          const rounds: { checks: number; slowest: number; refused: number; median: number }[] = []
          // With a credential that no round before has shown.
          for (let round = 0; round < ROUNDS; round++) {
            const fresh = await environment().holder({ adapters: ['acme-sql'] })
            const burst = (token: string) =>
              Promise.all(
                Array.from({ length: count }, (_, i) =>
                  timed(() => show({ token, localAddress: `127.0.2.${1 + (i % 4)}` })),
                ),
              )
            const slowestOf = (answers: { ms: number }[]) => Math.max(...answers.map(({ ms }) => ms))
            const asked = () =>
              environment().mintmark.logs.filter(
                line => /"route":"(\/check|Check)"/.test(line) && line.includes(fresh.keyId),
              ).length
            const refused = slowestOf(await burst('sk-1'))
            const answers = await burst(each === 'key' ? fresh.secret : fresh.token)
            expect(answers.map(({ result }) => result.status)).toEqual(answers.map(() => 200))
            const fewest = { none: 0, once: 1, each: count }[expected.checks[each] ?? 'none']
            await until('the log has them', asked, now => now >= fewest)
            const median = answers.map(({ ms }) => ms).toSorted((a, b) => a - b)[count / 2] ?? Number.NaN
            rounds.push({ checks: asked(), slowest: slowestOf(answers), refused, median })
          }
          const least = (of: keyof (typeof rounds)[number]) => Math.min(...rounds.map(round => round[of]))
          const [checks, slowest, refused] = [least('checks'), least('slowest'), least('refused')]
          // Where one result is for all, requests wait for it for a while only: on a busy machine some ask themselves.
          const expectedChecks = { none: 0, once: 1, each: count }[expected.checks[each] ?? 'none']
          expect({ each, checks }).toEqual({ each, checks: expectedChecks })
          if (expected.checks[each] !== 'once')
            expect(rounds.map(round => round.checks)).toEqual(rounds.map(() => expectedChecks))
          // They do not wait for a lock: at nginx all but one once waited for half of a second, and before that for five.
          if (count === PARALLEL[0]) expect(least('median')).toBeLessThan(refused + 300)
          best[each] = slowest
          if (MANY)
            console.log(
              `${name}: of ${count} requests at the same time with one ${each} the slowest takes ${slowest.toFixed(0)} ms, of refused ones ${refused.toFixed(0)} ms; ${checks} calls of Mintmark`,
            )
        }
        // Printed, not compared with a bound: what else the machine does counts more.
        if (MANY && expected.verifiesTokens && best.key !== undefined && best.token !== undefined)
          console.log(
            `${name}: of ${count} requests the slowest waits ${(best.key - best.token).toFixed(0)} ms longer with a key than with a token`,
          )
      },
    )
  })
}
