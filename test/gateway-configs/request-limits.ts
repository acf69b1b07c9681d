import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  type Behind,
  type CheckEnvironment,
  type Gateway,
  startCheckEnvironment,
} from './check-environment.ts'
import { type Answer, chat, type Sent, send } from './client.ts'

const MODEL = 'llama-3-8b'

interface Counting {
  absent: boolean
  /** `clock`: the file with its time, which is stopped. */
  start(behind: Behind, clock: string): Promise<Gateway>
  env?: Record<string, string>
  /** It takes API keys too. */
  takesKeys: boolean
}

/** A gateway that counts the requests of tenants and keys by the limits in their tokens. */
export function checkRequestLimits(name: string, { absent, start, env, takesKeys }: Counting): void {
  describe.skipIf(absent)(`${name} and the limits of requests`, () => {
    let environment: CheckEnvironment
    let folder: string
    let now = Math.floor(Date.now() / 86_400_000) * 86_400
    const setClock = (seconds: number) => {
      now = seconds
      return writeFile(join(folder, 'clock'), String(now))
    }
    const nextMinute = (seconds = 0) => setClock((Math.floor(now / 60) + 1) * 60 + seconds)
    const nextDay = () => setClock((Math.floor(now / 86_400) + 1) * 86_400)

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'mintmark-clock-'))
      // As root nginx's workers run as another user.
      await chmod(folder, 0o755)
      await nextDay()
      environment = await startCheckEnvironment(behind => start(behind, join(folder, 'clock')), env)
    })
    beforeEach(() => nextDay())
    afterAll(async () => {
      await environment?.stop()
      await rm(folder, { recursive: true, force: true })
    })

    const ask = (token: string, more: Sent = {}): Promise<Answer> =>
      send(environment.gateway.url, { token, body: chat(MODEL), ...more })
    async function statuses(token: string, count: number, more: Sent = {}): Promise<number[]> {
      const found: number[] = []
      for (let i = 0; i < count; i++) found.push((await ask(token, more)).status)
      return found
    }
    const upTo = (limit: number, count: number) =>
      Array.from({ length: count }, (_, i) => (i < limit ? 200 : 429))
    const limited = (tenant: object, key: object = {}) =>
      environment.holder({ limits: tenant }, { limits: key })

    it('two tenants, 3 and 5 requests a minute, and again in the next minute', async () => {
      const [three, five] = [
        await limited({ requests_per_minute: 3 }),
        await limited({ requests_per_minute: 5 }),
      ]
      for (let minute = 0; minute < 2; minute++) {
        expect(await statuses(three.token, 6)).toEqual(upTo(3, 6))
        expect(await statuses(five.token, 7)).toEqual(upTo(5, 7))
        await nextMinute()
      }
    })

    it('two keys of one tenant, 2 and 4 of 5 a minute: what the first was refused costs the second nothing', async () => {
      const two = await limited({ requests_per_minute: 5 }, { requests_per_minute: 2 })
      const { body } = await environment.mintmark.admin('POST', `/tenants/${two.tenantId}/keys`, {
        limits: { requests_per_minute: 4 },
      })
      const exchanged = await environment.mintmark.token({
        grant_type: 'client_credentials',
        client_secret: body.secret,
      })
      expect(await statuses(two.token, 6)).toEqual(upTo(2, 6))
      expect(await statuses(exchanged.body.access_token, 6)).toEqual(upTo(3, 6))
    })

    it.runIf(takesKeys)('an API key and its token have one limit', async () => {
      const { secret, token } = await limited({ requests_per_minute: 3 })
      expect(await statuses(secret, 2)).toEqual([200, 200])
      expect(await statuses(token, 2)).toEqual([200, 429])
      expect(await statuses(secret, 1)).toEqual([429])
    })

    it.each(['tenant', 'key'])(
      '4 requests a day of a %s: over two minutes, and again the next day',
      async of => {
        const day = { requests_per_day: 4 }
        const { token } = await (of === 'tenant' ? limited(day) : limited({}, day))
        const found = await statuses(token, 3)
        await nextMinute()
        found.push(...(await statuses(token, 3)))
        expect(found).toEqual(upTo(4, 6))
        await nextDay()
        expect(await statuses(token, 5)).toEqual(upTo(4, 5))
      },
    )

    it('what the minute refused does not count for the day, and the list of models for nothing', async () => {
      const { token } = await limited({ requests_per_minute: 2, requests_per_day: 4 })
      const list: Sent = { method: 'GET', path: '/v1/models', body: '' }
      expect(await statuses(token, 3, list)).toEqual([200, 200, 200])
      expect(await statuses(token, 6)).toEqual(upTo(2, 6))
      await nextMinute()
      expect(await statuses(token, 3)).toEqual(upTo(2, 3))
      await nextMinute()
      expect(await statuses(token, 1)).toEqual([429])
    })

    it('answers in the form of both SDKs, with the time to wait', async () => {
      await nextMinute(13)
      const { token } = await limited({ requests_per_minute: 1 })
      const first = await ask(token)
      const { status, headers, text } = await ask(token)
      const rate = ['x-ratelimit-limit', 'x-ratelimit-remaining', 'x-ratelimit-reset']
      expect(rate.map(name => first.headers[name])).toEqual(['1, 1;w=60', '0', '47'])
      expect([
        status,
        ...[...rate, 'retry-after', 'x-should-retry', 'content-type'].map(name => headers[name]),
      ]).toEqual([...[429, '1, 1;w=60', '0', '47', '47', undefined, 'application/json']])
      expect(JSON.parse(text).error).toMatchObject({ type: 'rate_limit_error', code: 'rate_limit_exceeded' })
      const day = await limited({ requests_per_day: 1 })
      await ask(day.token)
      const baseURL = environment.gateway.url
      const openai = new OpenAI({ apiKey: day.token, baseURL: `${baseURL}/v1` })
      const chatting = openai.chat.completions.create({
        model: MODEL,
        messages: [{ role: 'user', content: 'a' }],
      })
      await expect(chatting).rejects.toMatchObject({ status: 429, type: 'rate_limit_error' })
      await expect(chatting).rejects.toBeInstanceOf(OpenAI.RateLimitError)
      const anthropic = new Anthropic({ authToken: day.token, apiKey: null, baseURL })
      const message = anthropic.messages.create({
        ...{ model: MODEL, max_tokens: 5, messages: [{ role: 'user', content: 'a' }] },
      })
      await expect(message).rejects.toBeInstanceOf(Anthropic.RateLimitError)
      expect((await ask(day.token)).headers['x-should-retry']).toBe('false')
    })

    it('a changed limit holds with the next token, the old token keeps the old one, and headers change neither', async () => {
      const { secret, tenantId, token } = await limited({ requests_per_minute: 2 })
      const headers: [string, string][] = [
        ['x-tenant-id', 'other'],
        ['x-ratelimit-limit', '99'],
        ['limits', '{"tenant":{"requests":{"requests_per_unit":99,"unit":"MINUTE"}}}'],
      ]
      expect(await statuses(token, 4, { headers })).toEqual(upTo(2, 4))
      await environment.mintmark.admin('PATCH', `/tenants/${tenantId}`, {
        limits: { requests_per_minute: 3 },
      })
      const { body } = await environment.mintmark.token({
        grant_type: 'client_credentials',
        client_secret: secret,
      })
      expect(await statuses(body.access_token, 2)).toEqual(upTo(1, 2))
      expect(await statuses(token, 1)).toEqual([429])
    })

    it('counts exactly when requests come at the same time, and while Mintmark is stopped', async () => {
      const { token } = await limited({ requests_per_minute: 20 })
      await environment.mintmark.stop()
      const answers = await Promise.all(Array.from({ length: 60 }, () => ask(token)))
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(20)
      expect(answers.filter(({ status }) => status === 429)).toHaveLength(40)
      const free = environment.acme.token
      expect((await ask(free)).status).toBe(200)
    })
  })
}
