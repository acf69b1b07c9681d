import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import OpenAI from 'openai'
import { bundled } from '../support/bundled-source.ts'
import { freePort } from '../support/free-port.ts'
import { until } from '../support/until.ts'
import {
  claudeCode,
  lacksClaudeCode,
  lacksLitellmProxy,
  lacksOpenWebui,
  litellmProxy,
  openWebui,
} from './client-programs.ts'
import { lacksPython, python } from './python.ts'
import { runProgram } from './run-program.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const guide = readFileSync(join(root, 'docs/guides/clients.md'), 'utf8')
/** How long a server of hundreds of modules may take to start on a busy machine. */
const START_MS = 240_000

/** What a reader of the guide has: the addresses, an API key, and a home with the key's file and the command `mintmark`. */
export interface Reader {
  issuer: string
  gateway: string
  secret: string
  home: string
  leave(): Promise<void>
}

export async function newReader(given: Pick<Reader, 'issuer' | 'gateway' | 'secret'>): Promise<Reader> {
  const home = await mkdtemp(join(tmpdir(), 'mintmark-recipes-'))
  await writeFile(join(home, '.mintmark.key'), `${given.secret}\n`, { mode: 0o600 })
  const command = join(home, 'mintmark')
  await writeFile(command, `#!/bin/sh\nexec '${process.execPath}' '${bundled('cli')}' "$@"\n`)
  await chmod(command, 0o755)
  return { ...given, home, leave: () => rm(home, { recursive: true, maxRetries: 3 }) }
}

/** A recipe of docs/guides/clients.md, unchanged but for the addresses. */
export interface Recipe {
  /** Of its section. */
  heading: string
  /** In which language, where the section is for several. */
  language?: 'Python' | 'TypeScript'
  /** The route that it asks at the engine. */
  path: '/v1/chat/completions' | '/v1/messages'
  lacks(): boolean
  /** The text of the answer to "Hello". @throws {Error} with what the program wrote */
  ask(reader: Reader): Promise<string>
}

const CHAT = '/v1/chat/completions'
const MESSAGES = '/v1/messages'
const MODEL = 'llama-3-8b'

export const RECIPES: readonly Recipe[] = [
  ...['LangChain', 'LiteLLM'].map(
    (heading): Recipe => ({
      ...{ heading, path: CHAT, lacks: lacksPython },
      ask: reader => outputOf(reader, python, ['-'], blockFor(reader, heading, 'python')),
    }),
  ),
  { heading: "LiteLLM's proxy", path: CHAT, lacks: lacksLitellmProxy, ask: askLitellmProxy },
  { heading: 'Open WebUI', path: CHAT, lacks: lacksOpenWebui, ask: askOpenWebui },
  { heading: 'Claude Code', path: MESSAGES, lacks: lacksClaudeCode, ask: askClaudeCode },
  ...(['Python', 'TypeScript'] as const).map(
    (language): Recipe => ({
      ...{ heading: "Anthropic's SDKs, by environment alone", language, path: MESSAGES },
      lacks: () => language === 'Python' && lacksPython(),
      ask: reader => askAnthropic(reader, language),
    }),
  ),
  {
    heading: 'curl',
    path: CHAT,
    lacks: () => false,
    ask: async reader => {
      const answer = await outputOf(reader, 'sh', ['-c', blockFor(reader, 'curl', 'sh')])
      return JSON.parse(answer).choices[0].message.content
    },
  },
]

/** The headings of the guide's recipes. */
export const headings = (): string[] => {
  const [, section = ''] = /\n## Recipes\n([\s\S]*?)\n## /.exec(guide) ?? []
  return [...section.matchAll(/^### (.*)$/gm)].map(([, heading = '']) => heading)
}

/** The block of this language below this heading, with the reader's addresses. */
function blockFor(reader: Reader, heading: string, language: string): string {
  const [, section = ''] = guide.split(`\n### ${heading}\n`)
  const [, block] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(section) ?? []
  if (!block) throw new Error(`the guide has no ${language} for ${heading}`)
  return block
    .replaceAll('https://tokens.example.com', reader.issuer)
    .replaceAll('https://inference.example.com', reader.gateway)
}

const environmentOf = ({ home, secret }: Reader): NodeJS.ProcessEnv => ({
  HOME: home,
  PATH: `${home}${delimiter}${process.env.PATH}`,
  MINTMARK_API_KEY: secret,
  PYTHONPATH: join(root, 'clients/python'),
  // LiteLLM fetches its list of prices otherwise.
  LITELLM_LOCAL_MODEL_COST_MAP: 'True',
})

/** What a program wrote, without the end of its last line. */
async function outputOf(
  reader: Reader,
  program: string,
  args: readonly string[],
  input = '',
): Promise<string> {
  const options = { input, env: environmentOf(reader), cwd: reader.home }
  const { status, output, errors } = await runProgram(program, args, options)
  if (status !== 0)
    throw new Error(`${program} ended with ${status}: ${errors.slice(-2_000)}${output.slice(-2_000)}`)
  return output.replace(/\n$/, '')
}

async function askClaudeCode(reader: Reader): Promise<string> {
  const settings = join(reader.home, 'settings.json')
  await writeFile(settings, blockFor(reader, 'Claude Code', 'json'))
  return outputOf(reader, claudeCode, ['-p', 'Hello', '--settings', settings])
}

async function askAnthropic(reader: Reader, language: 'Python' | 'TypeScript'): Promise<string> {
  const fields = `"model": "${MODEL}", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]`
  const sdk = join(root, 'node_modules/@anthropic-ai/sdk/index.mjs')
  const source =
    language === 'Python'
      ? `from anthropic import Anthropic\nanswer = Anthropic().messages.create(**{${fields}})\nprint(answer.content[0].text)`
      : `import { Anthropic } from '${sdk}'\nconst answer = await new Anthropic().messages.create({${fields}})\nconsole.log(answer.content[0].text)`
  const file = join(reader.home, `program-${language}`)
  await writeFile(file, source)
  const command = language === 'Python' ? `'${python}' -` : `'${process.execPath}' --input-type=module -`
  const exports = blockFor(reader, "Anthropic's SDKs, by environment alone", 'sh')
  return outputOf(reader, 'sh', ['-c', `${exports}exec ${command} <'${file}'`])
}

async function askLitellmProxy(reader: Reader): Promise<string> {
  const config = join(reader.home, 'config.yaml')
  await writeFile(config, blockFor(reader, "LiteLLM's proxy", 'yaml'))
  const port = await freePort()
  const args = ['--config', config, '--host', '127.0.0.1', '--port', `${port}`]
  const options = { baseURL: `http://127.0.0.1:${port}/v1`, apiKey: 'a user of the proxy', maxRetries: 0 }
  return whileRuns(reader, litellmProxy, args, {}, async () => {
    await until(
      'the proxy lives',
      () => isServed(`http://127.0.0.1:${port}/health/liveliness`),
      Boolean,
      START_MS,
    )
    return chatWith(new OpenAI(options))
  })
}

/** Without what it asks the internet for at its start, with the chat of its single user. */
async function askOpenWebui(reader: Reader): Promise<string> {
  const port = await freePort()
  const [, variables = '', program] =
    /^(.*) (open-webui serve)\n$/.exec(blockFor(reader, 'Open WebUI', 'sh')) ?? []
  if (!program) throw new Error('the recipe for Open WebUI is not one command')
  const command = `${variables} exec '${openWebui}' serve --host 127.0.0.1 --port ${port}`
  const env = {
    DATA_DIR: reader.home,
    WEBUI_AUTH: 'False',
    OFFLINE_MODE: 'true',
    RAG_EMBEDDING_ENGINE: 'openai',
  }
  const url = `http://127.0.0.1:${port}`
  return whileRuns(reader, 'sh', ['-c', command], env, async () => {
    await until('Open WebUI lives', () => isServed(`${url}/health`), Boolean, START_MS)
    const user = await fetch(`${url}/api/v1/auths/signin`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ email: '', password: '' }),
    })
    const { token } = (await user.json()) as { token: string }
    return chatWith(new OpenAI({ baseURL: `${url}/api`, apiKey: token, maxRetries: 0 }))
  })
}

async function chatWith(client: OpenAI): Promise<string> {
  const messages = [{ role: 'user' as const, content: 'Hello' }]
  const { choices } = await client.chat.completions.create({ model: MODEL, messages })
  return choices[0]?.message.content ?? ''
}

const isServed = async (url: string): Promise<boolean> => (await fetch(url)).ok

/** Runs a server while `work` does. What it wrote last is in the error of a failure. */
async function whileRuns<T>(
  reader: Reader,
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  work: () => Promise<T>,
): Promise<T> {
  const server = spawn(program, args, { env: { ...environmentOf(reader), ...env }, cwd: reader.home })
  const output: string[] = []
  for (const stream of [server.stdout, server.stderr])
    stream.on('data', chunk => output.splice(0, output.length - 50, String(chunk)))
  const ended = new Promise(resolve => server.once('close', resolve))
  try {
    return await work()
  } catch (cause) {
    throw new Error(`${cause}: ${output.join('').slice(-2_000)}`, { cause })
  } finally {
    server.kill('SIGTERM')
    await ended
  }
}
