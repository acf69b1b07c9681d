import { BASE } from './engine.ts'

const PROMPT = 'the quick brown fox jumps over the lazy dog'
const MESSAGES = [{ role: 'user', content: PROMPT }]

interface Route {
  path: string
  /** A request for exactly so many tokens. */
  body(tokens: number): object
  /** An event with this text is the first token. */
  token: string
}

/** The routes on which vLLM reads X-Vllm-Priority. */
export const ROUTES: readonly Route[] = [
  {
    path: '/v1/chat/completions',
    body: max_tokens => ({ messages: MESSAGES, max_tokens, ignore_eos: true }),
    token: '"finish_reason"',
  },
  {
    path: '/v1/completions',
    body: max_tokens => ({ prompt: PROMPT, max_tokens, ignore_eos: true }),
    token: '"finish_reason"',
  },
  {
    path: '/v1/responses',
    body: max_output_tokens => ({ input: PROMPT, max_output_tokens, ignore_eos: true }),
    token: 'response.output_text.delta',
  },
  {
    path: '/v1/messages',
    // Its protocol has no ignore_eos, so that a random choice may end it at once.
    body: max_tokens => ({ messages: MESSAGES, max_tokens, top_k: 1 }),
    token: 'message_start',
  },
]

/** Requests of one kind, sent at the same moment. */
export interface Group {
  count: number
  /** Of each answer. */
  tokens: number
  /** The Bearer token. */
  credential: string
  /** What each adds to its request. */
  forged?: { body: object; headers: Record<string, string> }
}

/** What a client may send to jump the queue. */
export const FORGED = {
  body: { priority: -999 },
  headers: { 'x-vllm-priority': '-999', 'x-priority': '-999' },
}

/**
 * Fills the engine, which runs one request at a time, with the first group, and sends the other groups once one of its requests
 * has ended, while one runs and the others wait. Returns, for each group, the milliseconds from the start of all to the first
 * token of each request. @throws {Error} for a response without a token
 */
export async function saturate(url: string, route: Route, groups: readonly Group[]): Promise<number[][]> {
  const begun = performance.now()
  const [first, ...others] = groups.map(
    group => () =>
      Array.from({ length: group.count }, async () => (await firstToken(url, route, group)) - begun),
  )
  const running = first?.() ?? []
  await Promise.race(running)
  const all = [running, ...others.map(start => start())]
  return Promise.all(all.map(each => Promise.all(each)))
}

/** When the first token of a streamed request arrived; resolves at the end of its stream. */
async function firstToken(url: string, route: Route, group: Group): Promise<number> {
  const { body = {}, headers = {} } = group.forged ?? {}
  const answer = await fetch(url + route.path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${group.credential}`, ...headers },
    body: JSON.stringify({ model: BASE, stream: true, ...route.body(group.tokens), ...body }),
  })
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`)
  let text = ''
  let at: number | undefined
  for await (const chunk of answer.body ?? []) {
    text += Buffer.from(chunk).toString()
    if (at === undefined && text.includes(route.token)) at = performance.now()
  }
  if (at === undefined) throw new Error(`no token: ${text.slice(0, 500)}`)
  return at
}
