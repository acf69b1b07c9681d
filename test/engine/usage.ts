import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import { send } from '../gateway-configs/client.ts'
import { deployedAt } from '../gateway-configs/environment.ts'
import { type Envoy, startEnvoy, substitute } from '../gateway-configs/envoy.ts'
import { until } from '../support/until.ts'
import type { UsageRow } from '../usage/reports.ts'
import { eventsOf, usageOf } from './answer-usage.ts'
import type { Checks } from './checks.ts'
import { BASE, type Engine } from './engine.ts'
import { type EngineCounters, idleCounters, runningRequests } from './engine-counters.ts'
import type { Installation } from './installation.ts'
import { leaveAfter, leaveWhen } from './leaving-client.ts'

const FILE = 'deploy/envoy/envoy-api-keys-grpc.yaml'
const COUNTED_MS = 60_000
/** More tokens than an engine generates while its client reads the first events. */
const LONG = 1_500
const EVENTS = 12
const DAY_MS = 86_400_000

/** Longer than the blocks of the engine's cache, which are whole or not cached. */
const PROMPT = 'the quick brown fox jumps over the lazy dog '.repeat(24)
const MESSAGES = [{ role: 'user', content: PROMPT }]

const ROUTES: readonly [path: string, body: (tokens: number) => object][] = [
  ['/v1/chat/completions', max_tokens => ({ messages: MESSAGES, max_tokens, ignore_eos: true })],
  ['/v1/completions', max_tokens => ({ prompt: PROMPT, max_tokens, ignore_eos: true })],
  // Its protocol has no ignore_eos.
  ['/v1/messages', max_tokens => ({ messages: MESSAGES, max_tokens, top_k: 1 })],
  ['/v1/responses', max_output_tokens => ({ input: PROMPT, max_output_tokens, ignore_eos: true })],
]
const ONE_CHOICE = ROUTES.flatMap(([path, body]): [string, object][] => [
  [path, body(6)],
  [path, { ...body(6), stream: true }],
])
const TWO_CHOICES = ROUTES.slice(0, 2).flatMap(([path, body]): [string, object][] => [
  [path, { ...body(6), n: 2 }],
  [path, { ...body(6), n: 2, stream: true }],
])
/** The engine refuses four, the gateway one. */
const REFUSED = [
  ...ROUTES.map(([path, body]): [string, object] => [path, { ...body(6), top_p: 7 }]),
  ['/v1/chat/completions', { messages: MESSAGES, model: 'not-allowed' }] as [string, object],
]

/** The engine repeats the tools of a client twice in such a stream. */
const LONG_TOOL = {
  type: 'function',
  name: 'search',
  description: 'the brown fox '.repeat(500),
  parameters: {},
}

/** `said`: what the engine has said of a stream before its end. */
const CANCELLED: {
  path: string
  body: object
  streamed: boolean
  said: { prompt: boolean; answer: boolean }
}[] = [
  ...ROUTES.map(([path, body]) => ({
    path,
    body: path === '/v1/responses' ? { ...body(LONG), tools: [LONG_TOOL], tool_choice: 'none' } : body(LONG),
    streamed: true,
    said: { prompt: path !== '/v1/responses', answer: path.endsWith('/completions') },
  })),
  {
    path: '/v1/chat/completions',
    body: { messages: MESSAGES, max_tokens: LONG, ignore_eos: true },
    streamed: false,
    said: { prompt: false, answer: false },
  },
]

const NOTHING: UsageRow = {
  requests: 0,
  refused_requests: 0,
  estimated_requests: 0,
  input_tokens: 0,
  cached_input_tokens: 0,
  output_tokens: 0,
}

/** A key, what its client sends in place of it, and the sum of what its answers said. */
interface Holder {
  tenant: string
  id: string
  credential: string
  said: UsageRow
}

/**
 * What Mintmark counts of requests through Envoy's file with usage reports is what vLLM says in its answers and what its own metrics
 * count: two tenants with two keys each, one of which sends tokens and one the key itself. What clients give up is at most that.
 */
export async function checkUsage(
  checks: Checks,
  engine: Engine,
  installation: Installation,
  onEnd: (end: () => Promise<unknown>) => void,
): Promise<void> {
  const envoy = await reportingEnvoy(installation, engine)
  onEnd(envoy.stop)
  const holders: Holder[] = []
  for (const tenant of [installation.acme.id, installation.blue.id])
    for (const kind of ['token', 'secret'] as const) {
      const key = await installation.newKey(tenant)
      holders.push({ tenant, id: key.id, credential: key[kind], said: { ...NOTHING } })
    }
  const one = await sendAll(engine, envoy, holders, ONE_CHOICE)
  await checks.equal(
    'one choice: prompts, what came from the cache and answers are those of vLLM’s metrics',
    one.metrics,
    () => ({
      prompt: one.said.input_tokens,
      cached: one.said.cached_input_tokens,
      generated: one.said.output_tokens,
    }),
  )
  await checks.equal(
    'one choice: something came from the cache',
    true,
    () => one.said.cached_input_tokens > 0,
  )
  const two = await sendAll(engine, envoy, holders, TWO_CHOICES)
  await checks.equal(
    'two choices: vLLM’s metrics count each prompt once more, the answers are equal',
    [two.metrics.prompt, two.metrics.generated],
    () => [2 * two.said.input_tokens, two.said.output_tokens],
  )
  const refused = await sendAll(engine, envoy, holders, REFUSED)
  await checks.equal(
    'refused: vLLM did nothing',
    { prompt: 0, cached: 0, generated: 0 },
    () => refused.metrics,
  )

  console.log(
    '\n| tenant | key sends | requests | refused | input | from the cache | output |\n|---|---|---|---|---|---|---|',
  )
  for (const [index, holder] of holders.entries()) {
    const { tenant, said } = holder
    const kind = index % 2 === 0 ? 'a token' : 'itself'
    console.log(
      `| ${tenant} | ${kind} | ${said.requests} | ${said.refused_requests} | ${said.input_tokens} | ${said.cached_input_tokens} | ${said.output_tokens} |`,
    )
  }
  console.log('')
  for (const holder of holders)
    await checks.equal(`${holder.tenant}, ${holder.id}: counted as its answers say`, holder.said, () =>
      counted(installation, holder),
    )
  await checkCancelled(checks, engine, installation, envoy)
  await checks.equal(
    'and still the same after that: nothing was counted twice',
    holders.map(({ said }) => said),
    () => Promise.all(holders.map(holder => counted(installation, holder))),
  )
}

/** Envoy with the file of `npm run generate -- --usage grpc` for tokens and API keys. */
async function reportingEnvoy({ ports, admin }: Installation, engine: Engine): Promise<Envoy> {
  const { body } = await admin('POST', '/usage-reporters', { name: 'envoy', audiences: ['vllm'] })
  const local = (port: number) => `address: 127.0.0.1, port_value: ${port}`
  return startEnvoy(
    substitute(deployFiles(undefined, undefined, 'grpc')[FILE] ?? '', [
      ...deployedAt({ jwks: ports.public, upstream: engine.port }),
      ['address: mintmark, port_value: 8082', local(ports.gateway)],
      ['address: mintmark, port_value: 8083', local(ports.gatewayGrpc)],
      ['address: mintmark, port_value: 8087', local(ports.otlpGrpc)],
      ['Bearer mmr_REPORTER', `Bearer ${body.secret}`],
    ]),
  )
}

/** Sends each of these by every key, all keys at the same time. What the answers said, and what the engine counted meanwhile. */
async function sendAll(
  engine: Engine,
  envoy: Envoy,
  holders: readonly Holder[],
  requests: readonly (readonly [path: string, body: object])[],
): Promise<{ said: UsageRow; metrics: EngineCounters }> {
  const before = await idleCounters(engine)
  const said = { ...NOTHING }
  const sendBy = async (holder: Holder) => {
    for (const [path, body] of requests) {
      const one = await saidOf(envoy.url, holder.credential, path, { model: BASE, ...body })
      for (const sum of [said, holder.said])
        for (const field of Object.keys(NOTHING) as (keyof UsageRow)[]) sum[field] += one[field]
    }
  }
  await Promise.all(holders.map(sendBy))
  return { said, metrics: difference(await idleCounters(engine), before) }
}

/** @throws {Error} for an answer with neither usage nor a refusal */
async function saidOf(url: string, token: string, path: string, body: object): Promise<UsageRow> {
  const { status, text } = await send(url, { path, token, body: JSON.stringify(body) })
  if (status === 400 || status === 403) return { ...NOTHING, refused_requests: 1 }
  const usage = usageOf(text)
  if (status !== 200 || !usage) throw new Error(`${path}: ${status}: ${text.slice(0, 500)}`)
  const { input, cached, output } = usage
  return { ...NOTHING, requests: 1, input_tokens: input, cached_input_tokens: cached, output_tokens: output }
}

const difference = (after: EngineCounters, before: EngineCounters): EngineCounters => ({
  prompt: after.prompt - before.prompt,
  cached: after.cached - before.cached,
  generated: after.generated - before.generated,
})

/** What is counted of a key once all its requests are. */
async function counted(
  { admin }: Installation,
  { id, said }: Pick<Holder, 'id' | 'said'>,
): Promise<UsageRow> {
  const from = new Date(Date.now() - DAY_MS).toISOString()
  const read = async () => {
    const { body } = await admin('GET', `/usage?group_by=tenant,key&key=${id}&from=${from}`)
    const [row = NOTHING] = body.data as UsageRow[]
    return Object.fromEntries(
      Object.keys(NOTHING).map(field => [field, row[field as keyof UsageRow]]),
    ) as unknown as UsageRow
  }
  const sum = ({ requests, refused_requests }: UsageRow) => requests + refused_requests
  return until('all is counted', read, row => sum(row) >= sum(said), COUNTED_MS).catch(read)
}

/** Each by a key of its own: what the engine said until then is counted, the rest is estimated. */
async function checkCancelled(
  checks: Checks,
  engine: Engine,
  installation: Installation,
  envoy: Envoy,
): Promise<void> {
  for (const { path, body, streamed, said } of CANCELLED) {
    const key = await installation.newKey(installation.acme.id)
    const leaving = { path, credential: key.token, body: { model: BASE, ...body } }
    const before = await idleCounters(engine)
    let text = ''
    if (streamed) text = await leaveAfter(EVENTS, envoy.url, leaving)
    else await leaveWhen(() => until('the engine works', () => runningRequests(engine)), envoy.url, leaving)
    const found = await counted(installation, { id: key.id, said: { ...NOTHING, requests: 1 } })
    const { prompt, generated } = difference(await idleCounters(engine), before)
    const when = streamed ? `after ${eventsOf(text).length} events` : 'not streamed'
    const of = (tokens: number, by: boolean) => `${tokens}${by ? '' : ' (estimated)'}`
    console.log(
      `  note    ${path}, cancelled ${when}: ${of(found.input_tokens, said.prompt)} and ${of(found.output_tokens, said.answer)} counted, ${prompt} and ${generated} of the engine`,
    )
    await checks.equal(
      `${path}, cancelled ${when}: one request${said.prompt ? ', the prompt of the engine' : ''}; at most the answer of the engine`,
      { requests: 1, refused: 0, estimated: said.answer ? 0 : 1, prompt: true, answer: true, cut: true },
      () => ({
        requests: found.requests,
        refused: found.refused_requests,
        estimated: found.estimated_requests,
        prompt: !said.prompt || found.input_tokens === prompt,
        answer: found.output_tokens <= generated,
        cut: generated < LONG,
      }),
    )
  }
}
