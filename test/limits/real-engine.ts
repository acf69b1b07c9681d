import { request } from 'node:http'
import type { Checks } from '../engine/checks.ts'
import { installEngine, startEngine } from '../engine/engine.ts'
import type { Environment } from '../faults/environment/environment.ts'
import { charged, four, MANY } from './llm-tokens.ts'
import { ask, MODEL, type Setting } from './setting.ts'

/** Tokens that a stream may be ahead of what its client has read. */
const AHEAD = 20

/** What is charged for answers of a real vLLM is what it says itself: `npm run limits -- engine`. */
export async function checkRealEngine(checks: Checks, setting: Setting, environment: Environment) {
  console.log('\nvLLM')
  const reason = installEngine()
  if (reason) {
    console.log(`  note    not run: ${reason}`)
    return
  }
  const engine = await startEngine({
    runner: 'generate',
    flags: ['--enable-force-include-usage', '--enable-prompt-tokens-details'],
  })
  environment.onEnd(engine.stop)
  const { service, anotherEnvoy, clock, tenant } = setting
  const { url } = await anotherEnvoy(service.port, [
    [`port_value: ${setting.engine.port}`, `port_value: ${engine.port}`],
  ])
  const made = await tenant(MANY, MANY)
  const messages = [{ role: 'user', content: 'Write about a lighthouse.' }]
  const cases: [path: string, body: object][] = [
    ['/v1/chat/completions', { messages, max_tokens: 8 }],
    ['/v1/chat/completions', { messages, max_tokens: 8, n: 2 }],
    ['/v1/completions', { prompt: 'A lighthouse', max_tokens: 8 }],
    ['/v1/messages', { messages, max_tokens: 8 }],
    ['/v1/responses', { input: 'A lighthouse', max_output_tokens: 8 }],
  ]
  for (const [path, fields] of cases)
    for (const stream of [false, true]) {
      clock.nextDay()
      const body = JSON.stringify({ model: MODEL, ...fields, stream })
      const name = `vLLM: ${path}${'n' in fields ? ', n = 2' : ''}${stream ? ', streamed' : ''}`
      const { status, text } = await ask(url, made.token, { path, body })
      const tokens = tokensOf(text)
      await checks.equal(`${name}: ${tokens} LLM tokens`, [200, true, ...four(tokens)], async () => [
        status,
        tokens > 8,
        ...(await charged(setting, made, tokens)),
      ])
    }
  clock.nextDay()
  const seen = await cancelled(`${url}/v1/chat/completions`, made.token, { messages, max_tokens: 1_500 })
  const [tokens = 0] = await charged(setting, made, seen)
  await checks.equal(`vLLM: cancelled, ${seen} seen, ${tokens} charged`, true, () => {
    return tokens >= seen && tokens <= seen + AHEAD
  })
}

/** The last count in an answer, streamed or not. */
function tokensOf(text: string): number {
  const events = text.startsWith('{')
    ? [text]
    : [...text.matchAll(/^data: (\{.*)$/gm)].map(([, event = '']) => event)
  const usages = events.map(event => JSON.parse(event)).map(event => event.usage ?? event.response?.usage)
  const usage = usages.findLast(Boolean) ?? {}
  const { input_tokens = 0, output_tokens = 0, cache_read_input_tokens = 0 } = usage
  return usage.total_tokens ?? input_tokens + output_tokens + cache_read_input_tokens
}

/** A stream that is given up after some events; the last count that it has shown. */
function cancelled(url: string, token: string, fields: object): Promise<number> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: 'POST', agent: false, headers }, response => {
      let text = ''
      response.on('data', chunk => {
        text += chunk
        if (text.split('\n\n').length > 8) sent.destroy()
      })
      response.once('error', () => {})
      response.once('close', () => resolve(tokensOf(text.slice(0, text.lastIndexOf('\n\n')))))
    })
    sent.once('error', reject)
    sent.end(JSON.stringify({ model: MODEL, ...fields, stream: true }))
  })
}
