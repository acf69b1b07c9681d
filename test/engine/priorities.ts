import type { Checks } from './checks.ts'
import { BASE } from './engine.ts'
import type { Installation } from './installation.ts'

/** The engine runs one request at a time: the first of these runs, and the others wait. */
const BATCH = 6
const PREMIUM = 2
const LONG_TOKENS = 96
const SHORT_TOKENS = 4
const PROMPT = 'the quick brown fox jumps over the lazy dog'

interface Route {
  path: string
  /** A streamed request for exactly so many tokens. */
  body(tokens: number): object
  /** An event with this text is the first token. */
  token: string
}

const MESSAGES = [{ role: 'user', content: PROMPT }]

const ROUTES: readonly Route[] = [
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
    body: max_tokens => ({ messages: MESSAGES, max_tokens }),
    token: 'content_block_delta',
  },
]

/**
 * Six long requests of the batch tier, then two short ones of the premium tier: the premium ones run before every batch
 * request that waits, whatever the batch client writes into its body and headers.
 */
export async function checkPriorities(
  checks: Checks,
  url: string,
  installation: Installation,
): Promise<void> {
  for (const route of ROUTES)
    for (const forged of [false, true]) {
      const how = forged ? ', although batch sends priority -999 in its body and headers' : ''
      const name = `${route.path}: premium runs before what waits of batch${how}`
      await checks.equal(name, true, async () => {
        const { premium, batch } = await saturate(url, installation, route, forged)
        const passed = batch.filter(at => at < Math.max(...premium)).length
        const seconds = (times: readonly number[]) => times.map(at => (at / 1000).toFixed(1)).join(' ')
        console.log(`          first token after: premium ${seconds(premium)} s, batch ${seconds(batch)} s`)
        // The one that ended, the one that ran, and one that was scheduled while the premium requests were on their way.
        return passed <= 3 || `${passed} of ${BATCH} batch requests ran before premium`
      })
    }
}

async function saturate(
  url: string,
  { acme, blue }: Installation,
  route: Route,
  forged: boolean,
): Promise<{ premium: number[]; batch: number[] }> {
  const begun = performance.now()
  const firstToken = async (
    token: string,
    tokens: number,
    extra: object,
    headers: Record<string, string>,
  ) => {
    const answer = await fetch(url + route.path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${token}`, ...headers },
      body: JSON.stringify({ model: BASE, stream: true, ...route.body(tokens), ...extra }),
    })
    if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`)
    let text = ''
    let at: number | undefined
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk).toString()
      if (at === undefined && text.includes(route.token)) at = performance.now() - begun
    }
    if (at === undefined) throw new Error(`no token: ${text.slice(0, 500)}`)
    return at
  }
  const extra = forged ? { priority: -999 } : {}
  const headers: Record<string, string> = forged ? { 'x-vllm-priority': '-999', 'x-priority': '-999' } : {}
  const batch = Array.from({ length: BATCH }, () => firstToken(blue.token, LONG_TOKENS, extra, headers))
  // One has ended, one runs, and the others wait.
  await Promise.race(batch)
  const premium = Array.from({ length: PREMIUM }, () => firstToken(acme.token, SHORT_TOKENS, {}, {}))
  return { premium: await Promise.all(premium), batch: await Promise.all(batch) }
}
