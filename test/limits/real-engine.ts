import { eventsOf, usageOf } from '../engine/answer-usage.ts'
import type { Checks } from '../engine/checks.ts'
import { type Engine, FORCED_USAGE, installEngine, startEngine } from '../engine/engine.ts'
import { idleCounters, runningRequests } from '../engine/engine-counters.ts'
import { leaveAfter, leaveWhen } from '../engine/leaving-client.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { until } from '../support/until.ts'
import { charged, four, MANY } from './llm-tokens.ts'
import { ask, type Credential, MODEL, type Setting } from './setting.ts'

/**
 * What is charged for answers of a real vLLM is what it counts itself, in the answer and in its metrics: `npm run limits -- engine`,
 * and for embeddings `npm run limits -- embeddings`.
 */
export async function checkRealEngine(
  checks: Checks,
  setting: Setting,
  environment: Environment,
  runner: 'generate' | 'pooling',
): Promise<void> {
  console.log(`\nvLLM, ${runner}`)
  const reason = installEngine()
  if (reason) {
    console.log(`  note    not run: ${reason}`)
    return
  }
  const engine = await startEngine({ runner, flags: runner === 'generate' ? FORCED_USAGE : [] })
  environment.onEnd(engine.stop)
  const { service, anotherEnvoy, clock, tenant } = setting
  const { url } = await anotherEnvoy(service.port, [
    [`port_value: ${setting.engine.port}`, `port_value: ${engine.port}`],
  ])
  const made = await tenant(MANY, MANY)
  const known = runner === 'generate' ? GENERATING : POOLING
  for (const { path, fields, about = '' } of known) {
    clock.nextDay()
    const body = JSON.stringify({ model: MODEL, ...fields })
    const before = await idleCounters(engine)
    const { status, text } = await ask(url, made.token, { path, body })
    const tokens = tokensOf(text)
    await checks.equal(
      `vLLM: ${path}${about}: ${tokens} LLM tokens`,
      [200, true, await engineCount(engine, before, text), ...four(tokens)],
      async () => [status, tokens > 1, tokens, ...(await charged(setting, made, tokens))],
    )
  }
  for (const { path, fields } of known.filter(({ about }) => !about)) {
    clock.nextDay()
    const refused = JSON.stringify({ model: MODEL, ...fields, top_p: 7, encoding_format: 'none' })
    await checks.equal(`vLLM: ${path}: an error costs nothing`, [400, ...four(0)], async () => {
      const { status } = await ask(url, made.token, { path, body: refused })
      // What is charged by mistake would be charged by the time that the next request is.
      const { text } = await ask(url, made.token, { path, body: JSON.stringify({ model: MODEL, ...fields }) })
      const tokens = tokensOf(text)
      return [status, ...(await charged(setting, made, tokens)).map(count => count - tokens)]
    })
  }
  if (runner === 'generate') await checkCancelled(checks, setting, engine, url, made)
}

/** What a client pays for a request that it gives up: at least what it has seen, at most what the engine worked. */
async function checkCancelled(
  checks: Checks,
  setting: Setting,
  engine: Engine,
  url: string,
  made: Credential,
): Promise<void> {
  const { clock } = setting
  for (const { path, fields, seen } of CANCELLED) {
    clock.nextDay()
    const before = await idleCounters(engine)
    const body = { model: MODEL, ...fields }
    const text = await leaveAfter(EVENTS, url, { path, credential: made.token, body })
    const received = seen(text)
    const counts = await charged(setting, made, received)
    const after = await idleCounters(engine)
    const [prompt, generated] = [after.prompt - before.prompt, after.generated - before.generated]
    const most = prompt + generated
    await checks.equal(
      `vLLM: ${path}, cancelled: ${received} seen, ${counts[0]} charged, ${prompt} + ${generated} of the engine`,
      [true, [true, true, true, true]],
      () => [generated < LONG, counts.map(tokens => tokens >= received && tokens <= most)],
    )
  }
  clock.nextDay()
  const body = { model: MODEL, messages: MESSAGES, max_tokens: LONG, ignore_eos: true }
  await checks.equal(
    'vLLM: not streamed, cancelled while the engine works: costs nothing',
    four(0),
    async () => {
      const working = () => until('the engine works', () => runningRequests(engine))
      await leaveWhen(working, url, { path: '/v1/chat/completions', credential: made.token, body })
      await idleCounters(engine)
      // What is charged by mistake would be charged by the time that the next request is.
      const { text } = await ask(url, made.token, { body: JSON.stringify({ ...body, max_tokens: 8 }) })
      return (await charged(setting, made, tokensOf(text))).map(count => count - tokensOf(text))
    },
  )
}

interface Case {
  path: string
  fields: object
  about?: string
}

const MESSAGES = [{ role: 'user', content: 'Write about a lighthouse.' }]
const GENERATING = [
  { path: '/v1/chat/completions', fields: { messages: MESSAGES, max_tokens: 8 } },
  { path: '/v1/chat/completions', fields: { messages: MESSAGES, max_tokens: 8, n: 2 }, about: ', n = 2' },
  { path: '/v1/completions', fields: { prompt: 'A lighthouse', max_tokens: 8 } },
  { path: '/v1/messages', fields: { messages: MESSAGES, max_tokens: 8 } },
  { path: '/v1/responses', fields: { input: 'A lighthouse', max_output_tokens: 8 } },
].flatMap((each): Case[] => [
  each,
  { ...each, fields: { ...each.fields, stream: true }, about: `${each.about ?? ''}, streamed` },
])
const POOLING: Case[] = [
  { path: '/v1/embeddings', fields: { input: 'A lighthouse' } },
  { path: '/v1/embeddings', fields: { input: ['A lighthouse', 'by the sea'] }, about: ', two texts' },
]

/** More tokens than an engine generates while its client reads the first events. */
const LONG = 1_500
const EVENTS = 12

/** `seen`: what the guide says that such a stream costs, for what its client has received. */
const CANCELLED: { path: string; fields: object; seen: (text: string) => number }[] = [
  {
    path: '/v1/chat/completions',
    fields: { messages: MESSAGES, max_tokens: LONG, ignore_eos: true },
    seen: tokensOf,
  },
  {
    path: '/v1/completions',
    fields: { prompt: 'A lighthouse', max_tokens: LONG, ignore_eos: true },
    seen: tokensOf,
  },
  {
    path: '/v1/messages',
    // Its protocol has no ignore_eos, so that a random choice may end it at once.
    fields: { messages: MESSAGES, max_tokens: LONG, top_k: 1 },
    seen: text => tokensOf(text) + deltasOf(text),
  },
  {
    path: '/v1/responses',
    fields: { input: 'A lighthouse', max_output_tokens: LONG, ignore_eos: true },
    seen: deltasOf,
  },
]

/** The prompt as the answer says, and what the engine generated by its metrics. */
async function engineCount(engine: Engine, before: { generated: number }, text: string): Promise<number> {
  return (usageOf(text)?.input ?? 0) + (await idleCounters(engine)).generated - before.generated
}

/** Events with a part of the answer. */
function deltasOf(text: string): number {
  return eventsOf(text).filter(event => 'delta' in event).length
}

/** Of the prompt and of the answer, as far as it has them. */
function tokensOf(text: string): number {
  const { input, output } = usageOf(text) ?? { input: 0, output: 0 }
  return input + output
}
