import type { Checks } from '../engine/checks.ts'
import { chat, type Sent } from '../gateway-configs/client.ts'
import { until } from '../support/until.ts'
import type { Cell, Matrix } from './matrix.ts'
import { ask, type Credential, type Limits, MODEL, type Setting, upTo } from './setting.ts'
import { cancelled, type Plan } from './usage-engine.ts'

/** Cost of one request of the usual plan: 11 of the prompt, 5 of the completion. */
const COST = 16
const CHARGED_MS = 10_000
const BUCKETS = ['tenant_tokens', 'tenant_tokens_daily', 'key_tokens', 'key_tokens_daily'] as const
/** More than any test uses. */
export const MANY: Limits = { tokens_per_minute: 1_000_000, tokens_per_day: 1_000_000 }

/** Limits of LLM tokens: what each request costs, and where they end. */
export async function checkLlmTokens(checks: Checks, matrix: Matrix, setting: Setting): Promise<void> {
  console.log('\nlimits of LLM tokens')
  await checkCosts(checks, setting)
  await checkCancelled(checks, setting)
  for (const by of ['token', 'API key'] as const)
    for (const bucket of ['tenant', 'key'] as const) await checkNumbers(matrix, setting, bucket, by)
  await checkInFlight(checks, setting)
}

/** The counter of one bucket of a tenant or its key. */
const used: Counter = ({ redis }, { tenant, key }, bucket) =>
  redis.counter(
    `_${bucket.startsWith('tenant') ? tenant : key}_${bucket}_${bucket.endsWith('daily') ? 'DAY' : 'MINUTE'}_`,
  )

/** How a gateway names a counter is its own. */
export type Counter = (setting: Setting, made: Credential, bucket: string) => Promise<number>

/** What all four counters have once none of them is below `tokens`. */
export async function charged(
  setting: Setting,
  made: Credential,
  tokens: number,
  counter = used,
): Promise<number[]> {
  const all = () => Promise.all(BUCKETS.map(bucket => counter(setting, made, bucket)))
  await until('it is charged', all, counts => counts.every(count => count >= tokens), CHARGED_MS).catch(
    () => {},
  )
  return all()
}

export const four = (tokens: number): number[] => [tokens, tokens, tokens, tokens]

async function checkCosts(checks: Checks, setting: Setting): Promise<void> {
  const { clock, engine, envoy, tenant } = setting
  const made = await tenant(MANY, MANY)
  const json = (path: string, more: object = {}): Sent => ({
    path,
    body:
      path === '/v1/chat/completions'
        ? chat(MODEL, more)
        : JSON.stringify({ model: MODEL, input: 'a', ...more }),
  })
  const [conversation, stream] = ['/v1/chat/completions', { stream: true }]
  const usual = { headers: [['Accept-Encoding', 'gzip, br']] as [string, string][] }
  const cases: [name: string, sent: Sent, plan: Partial<Plan>, tokens: number][] = [
    ['chat', { ...json(conversation), ...usual }, {}, COST],
    ['chat, in pieces of 1 byte', json(conversation), { bytesAtATime: 1 }, COST],
    ['chat, n = 3', json(conversation, { n: 3 }), { choices: 3 }, 26],
    ['chat, streamed', json(conversation, stream), {}, COST],
    ['chat, streamed, in pieces of 1 byte', json(conversation, stream), { bytesAtATime: 1 }, COST],
    ['chat, streamed, in pieces of 7 bytes', json(conversation, stream), { bytesAtATime: 7 }, COST],
    ['chat, streamed, n = 3', json(conversation, { ...stream, n: 3 }), { choices: 3 }, 26],
    ['embeddings', json('/v1/embeddings'), {}, 11],
    ['/v1/messages', json('/v1/messages'), {}, COST],
    ['/v1/messages, streamed', json('/v1/messages', stream), {}, COST],
    ['/v1/messages, streamed, in pieces of 5 bytes', json('/v1/messages', stream), { bytesAtATime: 5 }, COST],
    ['/v1/responses', json('/v1/responses'), {}, COST],
    ['/v1/responses, streamed', json('/v1/responses', stream), {}, COST],
    ['an error of the engine, 400', json(conversation), { status: 400 }, 0],
    ['an error of the engine, 500', json(conversation, stream), { status: 500 }, 0],
    // One for each event with a choice: role, five tokens.
    [
      'chat, streamed, the engine without forced usage',
      json(conversation, stream),
      { forcedUsage: false },
      6,
    ],
  ]
  for (const [name, sent, plan, tokens] of cases) {
    clock.nextDay()
    engine.plan(plan)
    await checks.equal(
      `${name}: charged to each of four buckets`,
      [plan.status ?? 200, ...four(tokens)],
      async () => {
        const { status } = await ask(envoy.url, made.token, sent)
        // What is charged by mistake would be charged by the time that the next request is.
        if (tokens > 0) return [status, ...(await charged(setting, made, tokens))]
        engine.plan()
        await ask(envoy.url, made.token)
        const counts = await charged(setting, made, COST)
        return [status, ...counts.map(count => count - COST)]
      },
    )
  }
  engine.plan()
}

/** The client ends its request after so many tokens. */
async function checkCancelled(checks: Checks, setting: Setting): Promise<void> {
  const { clock, engine, envoy, tenant } = setting
  const made = await tenant(MANY, MANY)
  // Of the last: one for each token; the prompt is not known.
  for (const [path, tokens] of [
    ['/v1/chat/completions', 14],
    ['/v1/messages', 14],
    ['/v1/responses', 3],
  ] as const) {
    clock.nextDay()
    engine.plan({ completion: 1_000, pausesAfter: 3 })
    const found = async () => {
      await cancelled(`${envoy.url}${path}`, made.token, 3)
      return charged(setting, made, tokens)
    }
    await checks.equal(`${path}, cancelled after 3 tokens`, four(tokens), found)
  }
  engine.plan()
}

async function checkNumbers(
  matrix: Matrix,
  setting: Setting,
  bucket: 'tenant' | 'key',
  by: 'token' | 'API key',
) {
  const { clock, envoy, tenant } = setting
  for (const limit of ['tokens', 'tokens_daily'] as const) {
    clock.nextDay()
    const numbers = [40, 64].map(
      (most): Limits => ({
        [limit === 'tokens' ? 'tokens_per_minute' : 'tokens_per_day']: most,
      }),
    )
    const makes = await Promise.all(numbers.map(own => (bucket === 'tenant' ? tenant(own) : tenant({}, own))))
    const credentials = makes.map(made => (by === 'token' ? made.token : made.secret))
    const run = async () => {
      const found: number[][] = []
      for (const [i, made] of makes.entries())
        found.push(
          await oneByOne(setting, setting.envoy.url, made, credentials[i] ?? '', `${bucket}_${limit}`, 7),
        )
      return found
    }
    const cell: Cell = { bucket, limit, by }
    const what = `${limit === 'tokens' ? 'a minute' : 'a day'} of a ${bucket}, by ${by}`
    // 48 of 40, and 80 of 64: the first request after the limit is exceeded.
    await matrix.shows(cell, `40 and 64 LLM tokens ${what}, 16 a request`, [upTo(3, 7), upTo(5, 7)], run)
    if (limit === 'tokens') clock.nextMinute()
    else clock.nextDay()
    await matrix.shows(cell, 'and again in the next window', 200, async () => {
      return (await ask(envoy.url, credentials[0] ?? '')).status
    })
  }
}

/** The statuses of so many requests, each once the one before is charged to this bucket. */
export async function oneByOne(
  setting: Setting,
  url: string,
  made: Credential,
  credential: string,
  bucket: string,
  count: number,
  counter = used,
): Promise<number[]> {
  const found: number[] = []
  let tokens = 0
  for (let i = 0; i < count; i++) {
    const { status } = await ask(url, credential)
    found.push(status)
    if (status === 200) tokens += COST
    await until(
      'it is charged',
      () => counter(setting, made, bucket),
      all => all >= tokens,
      CHARGED_MS,
    )
  }
  return found
}

/** Requests that are under way when the limit is reached continue: it is exceeded by that much at most. */
async function checkInFlight(checks: Checks, setting: Setting): Promise<void> {
  const { clock, envoy, tenant } = setting
  clock.nextDay()
  const made = await tenant({ tokens_per_minute: 20 })
  const together = 6
  await checks.equal(`${together} requests at the same time, then one more`, [together, 429], async () => {
    const all = await Promise.all(Array.from({ length: together }, () => ask(envoy.url, made.token)))
    await until(
      'all are charged',
      () => used(setting, made, 'tenant_tokens'),
      n => n >= together * COST,
      CHARGED_MS,
    )
    return [all.filter(({ status }) => status === 200).length, (await ask(envoy.url, made.token)).status]
  })
  console.log(`  note    ${(await used(setting, made, 'tenant_tokens')) - 20} LLM tokens over a limit of 20`)
}
