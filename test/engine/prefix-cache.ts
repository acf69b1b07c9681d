import { randomUUID } from 'node:crypto'
import { send } from '../gateway-configs/client.ts'
import type { Checks } from './checks.ts'
import { BASE, type Engine } from './engine.ts'
import type { Installation } from './installation.ts'

/** Longer than the blocks of the engine's cache, which are whole or not cached. */
const WORDS = 'the quick brown fox jumps over the lazy dog '.repeat(12)

const messages = (prompt: string) => [{ role: 'user', content: prompt }]

const REQUESTS: readonly [path: string, body: (prompt: string) => object][] = [
  ['/v1/chat/completions', prompt => ({ messages: messages(prompt), max_tokens: 1 })],
  ['/v1/completions', prompt => ({ prompt, max_tokens: 1 })],
  ['/v1/responses', prompt => ({ input: prompt, max_output_tokens: 1 })],
  ['/v1/messages', prompt => ({ messages: messages(prompt), max_tokens: 1 })],
]

/** What the engine's own metrics say of its prefix cache: shared within a tenant, never between two, whatever a client sends. */
export async function checkPrefixCache(
  checks: Checks,
  engine: Engine,
  where: string,
  url: string,
  { acme, plain }: Installation,
): Promise<void> {
  for (const [path, body] of REQUESTS) {
    const prompt = `${randomUUID()} ${WORDS}`
    const hits = async (token: string, more: object = {}) => {
      const before = await prefixCacheHits(engine)
      const text = JSON.stringify({ model: BASE, ...body(prompt), ...more })
      const { status, text: answer } = await send(url, { path, token, body: text })
      if (status !== 200) throw new Error(`${status}: ${answer}`)
      return (await prefixCacheHits(engine)) > before
    }
    const name = (what: string) => `${where}: ${path}: ${what}`
    await checks.equal(name('a new prompt is in no cache'), false, () => hits(acme.token))
    await checks.equal(name('its tenant shares the prefix cache'), true, () => hits(acme.token))
    await checks.equal(name('another tenant does not, whatever salt it sends'), [false, false], async () => [
      await hits(plain.token),
      await hits(plain.token, { cache_salt: 'acme' }),
    ])
    await checks.equal(name("a client's salt separates within its tenant"), [false, true], async () => [
      await hits(acme.token, { cache_salt: 'one user' }),
      await hits(acme.token, { cache_salt: 'one user' }),
    ])
  }
}

/** Tokens of prompts that were found in the cache. @throws {Error} when the engine does not count them */
async function prefixCacheHits(engine: Engine): Promise<number> {
  const text = await (await fetch(`${engine.url}/metrics`)).text()
  const found = /^vllm:prefix_cache_hits_total\S* (\S+)$/m.exec(text)?.[1]
  if (!found) throw new Error('the engine has no vllm:prefix_cache_hits_total')
  return Number(found)
}
