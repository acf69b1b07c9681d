import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { python } from '../python.ts'
import { runProgram } from '../run-program.ts'
import type { Question } from './situations.ts'

/** In the order of the tables. */
export const CLIENTS = [
  'openai for Python',
  'openai for JavaScript',
  'LangChain',
  'anthropic for Python',
  'anthropic for JavaScript',
  'curl',
] as const
export type Client = (typeof CLIENTS)[number]

/** What a client did with a question. */
export interface Result {
  /** The class of its exception, or how curl ended; null: it has an answer. */
  raised: string | null
  /** Its answer, or the text of its exception. */
  printed: string
}

/** A question to the gateway at this URL. */
export interface Asked extends Question {
  client: Client
  url: string
}

/** All of them, each with the defaults of its client, so many at once of each kind. In the order of the questions. */
export async function askAll(questions: readonly Asked[], atOnce: number): Promise<Result[]> {
  const results = new Map<Asked, Result>()
  const of = (...clients: Client[]) => questions.filter(({ client }) => clients.includes(client))
  const askEach = async (some: readonly Asked[], ask: (asked: Asked) => Promise<Result>) => {
    const left = [...some]
    const worker = async () => {
      for (let asked = left.shift(); asked; asked = left.shift()) results.set(asked, await ask(asked))
    }
    await Promise.all(Array.from({ length: atOnce }, worker))
  }
  const inPython = of('openai for Python', 'LangChain', 'anthropic for Python')
  await Promise.all([
    askInPython(inPython, atOnce).then(all =>
      inPython.forEach((asked, i) => {
        results.set(asked, all[i] as Result)
      }),
    ),
    askEach(of('openai for JavaScript'), asked => resultOf(withOpenai(asked))),
    askEach(of('anthropic for JavaScript'), asked => resultOf(withAnthropic(asked))),
    askEach(of('curl'), askWithCurl),
  ])
  return questions.map(asked => results.get(asked) as Result)
}

async function withOpenai({ url, credential, model, text, repeated, stream }: Asked): Promise<string> {
  const client = new OpenAI({ apiKey: credential, baseURL: `${url}/v1` })
  const messages = [{ role: 'user' as const, content: text.repeat(repeated) }]
  if (!stream) {
    const { choices } = await client.chat.completions.create({ model, messages })
    return choices[0]?.message.content ?? ''
  }
  let answer = ''
  for await (const { choices } of await client.chat.completions.create({ model, messages, stream }))
    answer += choices[0]?.delta.content ?? ''
  return answer
}

async function withAnthropic({ url, credential, model, text, repeated, stream }: Asked): Promise<string> {
  const client = new Anthropic({ authToken: credential, baseURL: url })
  const messages = [{ role: 'user' as const, content: text.repeat(repeated) }]
  const question = { model, max_tokens: 64, messages }
  if (stream) return client.messages.stream(question).finalText()
  const [block] = (await client.messages.create(question)).content
  return block?.type === 'text' ? block.text : ''
}

async function resultOf(answer: Promise<string>): Promise<Result> {
  try {
    return { raised: null, printed: await answer }
  } catch (error) {
    return { raised: (error as Error).constructor.name, printed: (error as Error).message }
  }
}

const CURL = ['--silent', '--show-error', '--no-buffer', '--fail-with-body', '--retry', '2']

/** `curl --fail-with-body --retry 2`: the credential is in its standard input, not in its arguments. */
async function askWithCurl({ url, credential, model, text, repeated, stream }: Asked): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), 'mintmark-curl-'))
  try {
    const body = { model, messages: [{ role: 'user', content: text.repeat(repeated) }], stream }
    const file = join(folder, 'body.json')
    await writeFile(file, JSON.stringify(body))
    const headers = [`Authorization: Bearer ${credential}`, 'Content-Type: application/json']
    const config = headers.map(header => `header = "${header}"\n`).join('')
    const args = [...CURL, '--config', '-', '--data-binary', `@${file}`, `${url}/v1/chat/completions`]
    const { status, output, errors } = await runProgram('curl', args, { input: config })
    if (status === 0) return { raised: null, printed: output }
    return { raised: `exit ${status}`, printed: `${output}\n${errors}`.trim() }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** @throws {Error} with Python's message */
async function askInPython(questions: readonly Asked[], atOnce: number): Promise<Result[]> {
  const script = fileURLToPath(new URL('clients.py', import.meta.url))
  const { status, output, errors } = await runProgram(python, [script, `${atOnce}`], {
    input: JSON.stringify(questions),
  })
  if (status !== 0) throw new Error(`clients.py: ${errors.slice(-2_000)}`)
  return JSON.parse(output)
}
