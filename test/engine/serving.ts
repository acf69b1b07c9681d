import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { tokenProvider } from '../../clients/typescript/src/token-provider.ts'
import { send } from '../gateway-configs/client.ts'
import type { Checks } from './checks.ts'
import { BASE, type Engine } from './engine.ts'
import type { Installation, Tenant } from './installation.ts'
import { classOf, inPython } from './python-clients.ts'

/** Greedy and short: the same request has the same answer. */
const SHORT = { max_tokens: 8, temperature: 0 }
const PROMPT = 'select name from tenants where tier is premium'
const MESSAGES = [{ role: 'user' as const, content: PROMPT }]

/** OpenAI's and Anthropic's clients, in TypeScript and Python, unmodified, with one kind of credential. */
export async function checkServing(
  checks: Checks,
  where: string,
  url: string,
  { acme, blue, issuer }: Installation,
  kind: 'key' | 'token',
): Promise<void> {
  const credential = acme[kind]
  await checkOpenai(checks, `${where}: openai`, url, credential, { own: acme, other: blue })
  await checkAnthropic(checks, `${where}: anthropic`, url, credential, { own: acme, other: blue })
  const given = { url, credential, base: BASE, own: acme.adapter, other: blue.adapter, prompt: PROMPT }
  const provided = { issuer, key: acme.key }
  await checks.equal(`${where}: openai and anthropic for Python`, PYTHON, () =>
    inPython('sdk_clients.py', { ...given, ...provided }),
  )
  await checks.equal(
    `${where}: anthropic with clients/typescript as its credentials`,
    'message',
    async () => {
      const token = tokenProvider({ issuer, apiKey: acme.key })
      const client = new Anthropic({ credentials: token.credentials, baseURL: url, maxRetries: 0 })
      return (await client.messages.create({ model: acme.adapter, messages: MESSAGES, ...SHORT })).type
    },
  )

  for (const path of [
    '/v1/load_lora_adapter',
    '/tokenize',
    '/pooling',
    '/invocations',
    '/v1/chat/completions/batch',
  ])
    await checks.equal(`${where}: ${path} is closed`, 403, () => statusOf(url, path, credential))
  for (const path of ['/v1/audio/transcriptions', '/v1/audio/translations'])
    await checks.equal(`${where}: ${path} is closed where no group opens it`, 403, async () => {
      const body = `--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n${blue.adapter}\r\n--x--\r\n`
      const contentType = 'multipart/form-data; boundary=x'
      return (await send(url, { path, token: credential, body, contentType })).status
    })
}

/** What sdk_clients.py prints. */
const PYTHON = {
  openai: {
    served: { chat: true, stream: true, completions: true, responses: true, adapter: true },
    foreign: 'PermissionDeniedError',
    wrong: 'AuthenticationError',
  },
  anthropic: {
    served: { messages: true, stream: true, count_tokens: true, adapter: true },
    foreign: 'PermissionDeniedError',
    wrong: 'AuthenticationError',
  },
  token_provider: ['message', 'message'],
}

interface Tenants {
  own: Tenant
  other: Tenant
}

async function checkOpenai(
  checks: Checks,
  where: string,
  url: string,
  apiKey: string,
  { own, other }: Tenants,
): Promise<void> {
  const client = new OpenAI({ apiKey, baseURL: `${url}/v1`, maxRetries: 0 })
  const chat = async (model: string) =>
    (await client.chat.completions.create({ model, messages: MESSAGES, ...SHORT })).choices[0]?.message
      .content
  await checks.equal(`${where}: chat`, 'string', async () => typeof (await chat(BASE)))
  await checks.equal(
    `${where}: the tenant's adapter answers otherwise than the base model`,
    true,
    async () => {
      return (await chat(own.adapter)) !== (await chat(BASE))
    },
  )
  await checks.equal(`${where}: chat streams the same text`, true, async () => {
    const parts: string[] = []
    const asked = { model: BASE, messages: MESSAGES, ...SHORT, stream: true as const }
    for await (const { choices } of await client.chat.completions.create(asked))
      parts.push(choices[0]?.delta.content ?? '')
    return parts.length > 1 && parts.join('') === (await chat(BASE))
  })
  await checks.equal(`${where}: completions`, 'string', async () => {
    const { choices } = await client.completions.create({ model: own.adapter, prompt: PROMPT, ...SHORT })
    return typeof choices[0]?.text
  })
  await checks.equal(`${where}: responses`, 'completed or incomplete', async () => {
    const { status } = await client.responses.create({ model: BASE, input: PROMPT, max_output_tokens: 8 })
    return status === 'completed' || status === 'incomplete' ? 'completed or incomplete' : status
  })
  await checks.equal(`${where}: responses stream to their end`, true, async () => {
    const types: string[] = []
    const asked = { model: BASE, input: PROMPT, max_output_tokens: 8, stream: true as const }
    for await (const { type } of await client.responses.create(asked)) types.push(type)
    return (
      types.at(0) === 'response.created' &&
      ['response.completed', 'response.incomplete'].includes(types.at(-1) ?? '')
    )
  })
  await checks.equal(`${where}: embeddings reach the engine, which has none here`, 'NotFoundError', () =>
    classOf(client.embeddings.create({ model: BASE, input: PROMPT })),
  )
  await checks.equal(`${where}: lists the tenant's models only`, [own.adapter, BASE], async () => {
    const { data } = await client.models.list()
    return data.map(({ id }) => id).toSorted()
  })
  await checks.equal(`${where}: ${other.adapter} is not shown`, 'NotFoundError', () =>
    classOf(client.models.retrieve(other.adapter)),
  )
  for (const model of [other.adapter, 'gpt-4'])
    await checks.equal(`${where}: ${model} is refused`, 'PermissionDeniedError', () => classOf(chat(model)))
  await checks.equal(`${where}: a wrong key is refused`, 'AuthenticationError', () => {
    const wrong = new OpenAI({ apiKey: `${apiKey}x`, baseURL: `${url}/v1`, maxRetries: 0 })
    return classOf(wrong.chat.completions.create({ model: BASE, messages: MESSAGES }))
  })
}

async function checkAnthropic(
  checks: Checks,
  where: string,
  url: string,
  authToken: string,
  { own, other }: Tenants,
): Promise<void> {
  const client = new Anthropic({ authToken, apiKey: null, baseURL: url, maxRetries: 0 })
  const text = async (model: string, from = client) => {
    const { content } = await from.messages.create({ model, messages: MESSAGES, ...SHORT })
    return content.map(block => (block.type === 'text' ? block.text : '')).join('')
  }
  await checks.equal(`${where}: messages`, 'string', async () => typeof (await text(BASE)))
  await checks.equal(
    `${where}: the tenant's adapter answers otherwise than the base model`,
    true,
    async () => {
      return (await text(own.adapter)) !== (await text(BASE))
    },
  )
  await checks.equal(`${where}: messages stream the same text`, true, async () => {
    const stream = client.messages.stream({ model: BASE, messages: MESSAGES, ...SHORT })
    return (await stream.finalText()) === (await text(BASE))
  })
  await checks.equal(`${where}: count_tokens`, true, async () => {
    const counted = await client.messages.countTokens({ model: BASE, messages: MESSAGES })
    return counted.input_tokens > 0
  })
  await checks.equal(`${where}: lists the tenant's models only`, [own.adapter, BASE], async () => {
    const { data } = await client.models.list()
    return data.map(({ id }) => id).toSorted()
  })
  await checks.equal(`${where}: ${other.adapter} is not shown`, 'NotFoundError', () =>
    classOf(client.models.retrieve(other.adapter)),
  )
  await checks.equal(
    `${where}: ${other.adapter} is refused`,
    'PermissionDeniedError permission_error',
    async () => {
      const refusal = await text(other.adapter).catch(error => error)
      return `${refusal.constructor.name} ${refusal.type}`
    },
  )
  await checks.equal(
    `${where}: a wrong key is refused`,
    'AuthenticationError authentication_error',
    async () => {
      const wrong = new Anthropic({ authToken: `${authToken}x`, apiKey: null, baseURL: url, maxRetries: 0 })
      const refusal = await text(BASE, wrong).catch(error => error)
      return `${refusal.constructor.name} ${refusal.type}`
    },
  )
  await checks.equal(`${where}: the credential in two headers, as of an apiKeyHelper`, 'string', async () => {
    const both = new Anthropic({
      ...{ authToken, apiKey: null, baseURL: url, maxRetries: 0 },
      defaultHeaders: { 'x-api-key': authToken },
    })
    return typeof (await text(BASE, both))
  })
}

/** Stored responses, which the engine gives to every tenant that knows their ids, are out of reach. */
export async function checkStoredResponses(
  checks: Checks,
  engine: Engine,
  url: string,
  { acme }: Installation,
): Promise<void> {
  const asked = { model: BASE, input: PROMPT, max_output_tokens: 8 }
  const stored = JSON.parse(
    (await send(engine.url, { path: '/v1/responses', body: JSON.stringify(asked) })).text,
  )
  await checks.equal(
    'control: without the gateway the engine gives a stored response to everyone',
    200,
    async () => {
      return (await send(engine.url, { method: 'GET', path: `/v1/responses/${stored.id}` })).status
    },
  )
  for (const field of ['previous_response_id', 'request_id'])
    await checks.equal(`responses: ${field} is refused`, 400, () =>
      statusOf(url, '/v1/responses', acme.token, { ...asked, [field]: stored.id }),
    )
  for (const [method, path] of [
    ['GET', `/v1/responses/${stored.id}`],
    ['POST', `/v1/responses/${stored.id}/cancel`],
  ] as const)
    await checks.equal(`${method} ${path} is closed`, 403, async () => {
      return (await send(url, { method, path, token: acme.token, body: '' })).status
    })
}

/** The group tokenize, which an operator opens. */
export async function checkTokenize(
  checks: Checks,
  url: string,
  { acme, blue }: Installation,
): Promise<void> {
  const tokenize = (model: string, more: object = {}) =>
    send(url, {
      path: '/tokenize',
      token: acme.token,
      body: JSON.stringify({ model, prompt: PROMPT, ...more }),
    })
  await checks.equal('tokenize and detokenize give the text back', PROMPT, async () => {
    const { tokens } = JSON.parse((await tokenize(acme.adapter, { add_special_tokens: false })).text)
    const body = JSON.stringify({ model: BASE, tokens })
    return JSON.parse((await send(url, { path: '/detokenize', token: acme.token, body })).text).prompt
  })
  await checks.equal(
    `tokenize: ${blue.adapter} is refused`,
    403,
    async () => (await tokenize(blue.adapter)).status,
  )
}

/** The groups openai and pooling at an engine for embeddings. */
export async function checkPooling(checks: Checks, url: string, { acme, blue }: Installation): Promise<void> {
  const client = new OpenAI({ apiKey: acme.token, baseURL: `${url}/v1`, maxRetries: 0 })
  await checks.equal('embeddings', true, async () => {
    const { data } = await client.embeddings.create({ model: BASE, input: PROMPT })
    return (data[0]?.embedding.length ?? 0) > 0
  })
  await checks.equal(`embeddings: ${blue.adapter} is refused`, 'PermissionDeniedError', () =>
    classOf(client.embeddings.create({ model: blue.adapter, input: PROMPT })),
  )
  const bodies: [path: string, body: object][] = [
    ['/v1/embeddings', { input: PROMPT }],
    ['/pooling', { input: PROMPT, task: 'embed' }],
    // Without input_type, because this model has no instructions for one.
    ['/v2/embed', { texts: [PROMPT], embedding_types: ['float'] }],
    ...['/score', '/v1/score'].map((path): [string, object] => [path, { text_1: PROMPT, text_2: 'hello' }]),
    ...['/rerank', '/v1/rerank', '/v2/rerank'].map((path): [string, object] => [
      path,
      { query: PROMPT, documents: ['hello', 'the quick brown fox'] },
    ]),
  ]
  for (const [path, body] of bodies) {
    const status = (more: object) => statusOf(url, path, acme.token, { model: BASE, ...body, ...more })
    await checks.equal(`${path}`, 200, () => status({}))
    await checks.equal(`${path}: a priority in the body is refused`, 400, () => status({ priority: -999 }))
    await checks.equal(`${path}: ${blue.adapter} is refused`, 403, () => status({ model: blue.adapter }))
  }
}

async function statusOf(
  url: string,
  path: string,
  token: string,
  body: object = { model: BASE },
): Promise<number> {
  return (await send(url, { path, token, body: JSON.stringify(body) })).status
}
