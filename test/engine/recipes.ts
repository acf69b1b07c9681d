import { spawnSync } from 'node:child_process'
import { addCredential, environmentFor, PROGRAMS } from '../clients/identity-programs.ts'
import { lacksPython } from '../clients/python.ts'
import { newReader, RECIPES } from '../clients/recipes.ts'
import { runProgram } from '../clients/run-program.ts'
import { send } from '../gateway-configs/client.ts'
import type { Checks } from './checks.ts'
import { BASE, type Engine } from './engine.ts'
import type { Installation } from './installation.ts'

/**
 * Claude Code sends its instructions and tools, which is long in this model's alphabet, and lets the model choose among the tools.
 * Every answer is greedy and short, so that it is known.
 */
export const RECIPE_FLAGS = [
  ...['--max-model-len', '131072', '--hf-overrides', '{"max_position_embeddings": 131072}'],
  ...['--enable-auto-tool-choice', '--tool-call-parser', 'hermes'],
  ...['--override-generation-config', '{"temperature": 0}', '--logits-processors', 'ends_soon:EndsSoon'],
]
export const RECIPE_ENV = { PYTHONPATH: new URL('.', import.meta.url).pathname }

/** Where that is possible; else its recipe is not run. @throws {Error} */
export function installOpenWebui(): void {
  const script = new URL('../../scripts/install-open-webui.sh', import.meta.url).pathname
  const { status, stderr } = spawnSync('bash', [script], { encoding: 'utf8' })
  if (status === 3) console.log(`  note    ${stderr.trim()}`)
  else if (status !== 0) throw new Error(`${script} ended with ${status}: ${stderr}`)
}

/** Each recipe of docs/guides/clients.md, unchanged but for the addresses, gets the engine's own answer. */
export async function checkRecipes(
  checks: Checks,
  engine: Engine,
  gateway: string,
  { issuer, acme }: Installation,
): Promise<void> {
  const reader = await newReader({ issuer, gateway, secret: acme.key })
  try {
    for (const recipe of RECIPES) {
      const name = `recipe: ${recipe.heading}${recipe.language ? `, ${recipe.language}` : ''}`
      if (recipe.lacks()) {
        console.log(`  note    ${name}: not run, because its program is not installed`)
        continue
      }
      // Claude Code asks with instructions of its own.
      const expected = recipe.heading === 'Claude Code' ? undefined : await answerTo(engine, recipe.path)
      const before = await finishedRequests(engine)
      let text = ''
      await checks.equal(`${name}: the engine's own answer`, expected ?? 'an answer', async () => {
        text = await recipe.ask(reader)
        return expected === undefined && text ? 'an answer' : text
      })
      await checks.equal(`${name}: at the engine`, true, async () => {
        const count = (await finishedRequests(engine)) - before
        console.log(`          ${count} requests, ${JSON.stringify(text)}`)
        return count > 0
      })
    }
  } finally {
    await reader.leave()
  }
}

/** The SDKs of Anthropic, unmodified, with the token of a workload in place of a key. */
export async function checkIdentityPrograms(
  checks: Checks,
  engine: Engine,
  gateway: string,
  { issuer, acme, admin }: Installation,
): Promise<void> {
  const credentialId = await addCredential(admin)
  const reader = await newReader({ issuer, gateway, secret: acme.key })
  const answer = await answerTo(engine, '/v1/messages')
  try {
    for (const [language, [program, args, input]] of Object.entries(PROGRAMS)) {
      if (language === 'Python' && lacksPython()) continue
      const run = async (subject: string) => {
        const env = await environmentFor({ gateway, credentialId, folder: reader.home, subject })
        return runProgram(program, args, { input, env, cwd: reader.home })
      }
      const name = `anthropic for ${language}, by environment alone`
      await checks.equal(`${name}: the engine answers a workload`, `${answer}\n${answer}\n`, async () => {
        const { output, errors } = await run('robot')
        return output || errors
      })
      await checks.equal(`${name}: another subject is refused`, [true, true], async () => {
        const { status, errors } = await run('other')
        return [status !== 0, errors.includes('invalid_grant')]
      })
    }
  } finally {
    await reader.leave()
  }
}

/** To "Hello", without the gateway. */
async function answerTo(engine: Engine, path: string): Promise<string> {
  const isMessages = path === '/v1/messages'
  const messages = [{ role: 'user', content: 'Hello' }]
  // As the programs for Anthropic's SDKs ask.
  const body = JSON.stringify({ model: BASE, messages, ...(isMessages && { max_tokens: 8 }) })
  const { status, text } = await send(engine.url, { path, body })
  if (status !== 200) throw new Error(`${status}: ${text}`)
  const answer = JSON.parse(text)
  return isMessages ? answer.content[0].text : answer.choices[0].message.content
}

async function finishedRequests(engine: Engine): Promise<number> {
  const text = await (await fetch(`${engine.url}/metrics`)).text()
  const counts = [...text.matchAll(/^vllm:request_success_total\S* (\S+)$/gm)]
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}
