import { spawn } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { deployedEnvoy, startMintmark } from '../gateway-configs/environment.ts'
import { type Envoy, noEnvoy } from '../gateway-configs/envoy.ts'
import { bundled } from '../support/bundled-source.ts'
import { freePort } from '../support/free-port.ts'
import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { claudeCode, lacksClaudeCode, lacksLitellmProxy, litellmProxy } from './client-programs.ts'
import { lacksPython, python } from './python.ts'
import { runProgram } from './run-program.ts'
import { ANSWER, startTalkingEngine, type TalkingEngine } from './talking-engine.ts'

/** The recipes of docs/guides/clients.md with other addresses, through deploy/envoy/envoy-api-keys.yaml. */
const root = new URL('../../', import.meta.url).pathname
const guide = await readFile(join(root, 'docs/guides/clients.md'), 'utf8')

let mintmark: TestService
let engine: TalkingEngine
let envoy: Envoy
let folder: string
let tenant: { tenantId: string; secret: string }

beforeAll(async () => {
  if (noEnvoy) return
  mintmark = await startMintmark()
  engine = await startTalkingEngine()
  const portOf = (url: string) => Number(new URL(url).port)
  const { urls } = mintmark.service
  envoy = await deployedEnvoy(
    { jwks: portOf(urls.public), upstream: engine.port },
    [['address: mintmark, port_value: 8082', `address: 127.0.0.1, port_value: ${portOf(urls.gateway)}`]],
    'envoy-api-keys.yaml',
  )
  tenant = await mintmark.tenantWithKey()
  folder = await mkdtemp(join(tmpdir(), 'mintmark-recipes-'))
  await writeFile(join(folder, '.mintmark.key'), `${tenant.secret}\n`, { mode: 0o600 })
  await writeFile(
    join(folder, 'mintmark'),
    `#!/bin/sh\nexec '${process.execPath}' '${bundled('cli')}' "$@"\n`,
  )
  await chmod(join(folder, 'mintmark'), 0o755)
})
afterAll(async () => {
  await envoy?.stop()
  await engine?.stop()
  await mintmark?.stop()
  if (folder) await rm(folder, { recursive: true })
})
beforeEach(() => {
  engine?.requests.splice(0)
})

/** The block of this language below this heading, with the addresses of this test. */
function recipe(heading: string, language: string): string {
  const [, section = ''] = guide.split(`\n### ${heading}\n`)
  const [, block] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(section) ?? []
  if (!block) throw new Error(`the guide has no ${language} for ${heading}`)
  return block
    .replaceAll('https://tokens.example.com', mintmark.service.urls.public)
    .replaceAll('https://inference.example.com', envoy.url)
}

const environment = (): NodeJS.ProcessEnv => ({
  HOME: folder,
  PATH: `${folder}${delimiter}${process.env.PATH}`,
  MINTMARK_API_KEY: tenant.secret,
  PYTHONPATH: join(root, 'clients/python'),
  // LiteLLM fetches its list of prices otherwise.
  LITELLM_LOCAL_MODEL_COST_MAP: 'True',
})

async function answerOf(program: string, args: readonly string[], input = ''): Promise<string> {
  const { status, output, errors } = await runProgram(program, args, {
    input,
    env: environment(),
    cwd: folder,
  })
  expect({ status, errors: status === 0 ? '' : errors }).toEqual({ status: 0, errors: '' })
  return output
}

/** All requests were those of the tenant, and the engine received no credential. */
function expectServed(path: string): void {
  expect(engine.requests.length).toBeGreaterThan(0)
  for (const request of engine.requests) {
    expect(request.path.replace(/\?.*/, '')).toBe(path)
    expect(request.headers['x-tenant-id']).toBe(tenant.tenantId)
    expect(JSON.stringify(request)).not.toMatch(/mmk_|eyJ/)
  }
}

/** These programs load hundreds of modules: against tests that hang, on a busy machine. */
const PATIENCE = { timeout: 180_000 }

describe.skipIf(noEnvoy)('the recipe of docs/guides/clients.md for', PATIENCE, () => {
  it.skipIf(lacksPython()).each(['LangChain', 'LiteLLM'])('%s', async heading => {
    expect(await answerOf(python, ['-'], recipe(heading, 'python'))).toBe(`${ANSWER}\n`)
    expectServed('/v1/chat/completions')
  })

  it.skipIf(lacksLitellmProxy())(
    "LiteLLM's proxy",
    async () => {
      const config = join(folder, 'config.yaml')
      await writeFile(config, recipe("LiteLLM's proxy", 'yaml'))
      const port = await freePort()
      const args = ['--config', config, '--host', '127.0.0.1', '--port', `${port}`]
      const proxy = spawn(litellmProxy, args, { env: environment(), cwd: folder, stdio: 'ignore' })
      const ended = new Promise(resolve => proxy.once('exit', resolve))
      try {
        const baseURL = `http://127.0.0.1:${port}/v1`
        const client = new OpenAI({ apiKey: 'a user of the proxy', baseURL, maxRetries: 0 })
        const messages = [{ role: 'user' as const, content: 'Hello' }]
        const asked = () => client.chat.completions.create({ model: 'llama-3-8b', messages })
        const { choices } = await until('the proxy answers', asked, Boolean, 120_000)
        expect(choices[0]?.message.content).toBe(ANSWER)
      } finally {
        proxy.kill('SIGTERM')
        await ended
      }
      expectServed('/v1/chat/completions')
    },
    180_000,
  )

  it.skipIf(lacksClaudeCode())('Claude Code', async () => {
    const settings = join(folder, 'settings.json')
    await writeFile(settings, recipe('Claude Code', 'json'))
    expect(await answerOf(claudeCode, ['-p', 'Hello', '--settings', settings])).toBe(`${ANSWER}\n`)
    expectServed('/v1/messages')
  })

  it.each([
    ['Python', () => python, ['-'], 'from anthropic import Anthropic\nanswer = Anthropic().messages.create'],
    [
      'TypeScript',
      () => process.execPath,
      ['--input-type=module', '-'],
      "import { Anthropic } from 'SDK'\nconst answer = await new Anthropic().messages.create",
    ],
  ])("Anthropic's SDK, by environment alone, in %s", async (language, program, args, call) => {
    if (language === 'Python' && lacksPython()) return
    const isPython = language === 'Python'
    const message = '{"role": "user", "content": "Hello"}'
    const asked = isPython
      ? `(model="llama-3-8b", max_tokens=8, messages=[${message}])\nprint(answer.content[0].text)`
      : `({ model: "llama-3-8b", max_tokens: 8, messages: [${message}] })\nconsole.log(answer.content[0].text)`
    const code = `${call}${asked}`.replace('SDK', join(root, 'node_modules/@anthropic-ai/sdk/index.mjs'))
    await writeFile(join(folder, 'program'), code)
    const command = [program(), ...args].map(word => `'${word}'`).join(' ')
    const shell = `${recipe("Anthropic's SDKs, by environment alone", 'sh')}exec ${command} <'${join(folder, 'program')}'`
    expect(await answerOf('sh', ['-c', shell])).toBe(`${ANSWER}\n`)
    expectServed('/v1/messages')
  })

  it('curl', async () => {
    expect(await answerOf('sh', ['-c', recipe('curl', 'sh')])).toContain(ANSWER)
    expectServed('/v1/chat/completions')
  })
})
