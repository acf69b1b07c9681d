import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { formatCredential, randomId } from '../../src/api-keys/api-key.ts'
import { MODEL_HEADER, MODEL_ROUTES } from '../../src/gateway/headers.ts'
import { systemRandom } from '../../src/system/random.ts'
import { lacksPython, scenario } from '../clients/python.ts'
import { rawHttp } from '../support/raw-http.ts'
import { until } from '../support/until.ts'
import {
  ACME_HEADERS,
  type Behind,
  type CheckEnvironment,
  type Gateway,
  startCheckEnvironment,
} from './check-environment.ts'
import { chat, type Sent, send } from './client.ts'
import { CLOSED_REQUESTS, CLOSED_ROUTES, OTHER_ROUTES, SMUGGLING, withTrailers } from './closed-routes.ts'
import { tableInGuide } from './contract-table.ts'
import { READABLE_BODIES, REFUSED_BODIES, SALTS, withoutSalt } from './entitlement-cases.ts'
import { checkForeignChecks } from './foreign-checks.ts'
import { MARK, NAMES, SPELLINGS } from './forged-headers.ts'
import { checkHonestClients } from './honest-clients.ts'
import { checkIdleConnections } from './idle-connections.ts'
import { checkLeavingClients } from './leaving-clients.ts'
import { checkMalformedRequests } from './malformed-requests.ts'
import { checkMedia } from './media.ts'
import { checkPathsOfChecks } from './paths-of-checks.ts'
import { checkSlowMintmark } from './slow-mintmark.ts'
import { checkSteeringFields } from './steering-fields.ts'

/** The expected behaviour of one gateway's configuration. */
export interface Expected {
  /** It is not installed, and not required. */
  absent: boolean
  start: (behind: Behind) => Promise<Gateway>
  /**
   * Starts it with less than the 4 seconds of its file, after which it ends idle connections to the engine. A gateway without it
   * has a connection for each request.
   */
  startImpatient?: (behind: Behind) => Promise<Gateway>
  env?: Record<string, string>
  /** The credentials that clients may use. */
  credentials: readonly ('key' | 'token')[]
  /**
   * It checks the body's model against the caller's rights, and sends the model to the engine; or has Mintmark check
   * it, which answers every denial with 403, and does not send it.
   */
  entitles: boolean | 'by asking'
  /** It sets `cache_salt` in the body from the tenant. Others cannot change bodies, and reject a client's. */
  salts?: true
  /** False: it does not repeat a check that has lost its connection. */
  asksAgain?: false
  /** What something else than Mintmark answers to a check, the client does not see. */
  hidesForeign?: true
  /** Tokens are verified by the gateway itself, so that they pass while Mintmark is down. */
  verifiesTokens: boolean
  /** The bodies of its 403 for a model are not ours, or are not JSON. */
  explains?: false
  /** False: what it cannot read as HTTP gets an error of the gateway's own, not JSON. */
  explainsMalformed?: false
  /** Every bad credential is refused before the body has come, or none. */
  refusesBeforeBody: 'every' | 'none'
  /** How often Mintmark is asked about the requests of one credential: about each, once in five seconds, or never. */
  checks: Partial<Record<'key' | 'token', 'each' | 'once' | 'none'>>
  /** Further names that may reach the engine, in addition to ours and the client's. */
  passedOn: readonly string[]
  /** A client header that is forwarded, where x-harmless is not. */
  passesOn?: string
  /** Pages of every origin can read that a credential is missing. */
  missingForAllPages?: true
  /** The status of a request without a credential, or with an invalid one. */
  unauthorized?: number
  /** The guide that has its table. */
  guide?: string
  /** Further guarantees, of this gateway only. */
  more?: (contract: Contract) => void
}

/** For the guarantees of one gateway. */
export interface Contract {
  environment(): CheckEnvironment
  /** The only request that reached the engine has the headers of acme, and nothing forged. */
  expectOnlyOurs(): void
}

const withoutPython = lacksPython()

const MODELS_OF_ACME = ['llama-3-8b', 'mistralai/Mistral-7B', '/models/Llama-3.1', 'acme-sql', 'acme-chat']
const MESSAGE = {
  ...{ model: 'llama-3-8b', max_tokens: 16 },
  messages: [{ role: 'user' as const, content: 'Hello' }],
}

/** Headers of the client that every gateway forwards. */
const CLIENTS = ['host', 'content-length', 'content-type', 'transfer-encoding', 'connection']

/** Every guarantee of a gateway in front of the engine, tested on the real binary with the file from deploy/. */
export function checkContract(name: string, expected: Expected): void {
  let environment: CheckEnvironment
  beforeAll(async () => {
    const env = { MINTMARK_GATEWAY_KEY_HEADERS: 'x-api-key,api-key', ...expected.env }
    if (!expected.absent) environment = await startCheckEnvironment(expected.start, env)
  })
  afterAll(() => environment?.stop())
  beforeEach(() => environment?.upstream.forget())

  const { unauthorized = 401, passesOn = 'x-harmless' } = expected
  const show = (credential: string | undefined, sent: Sent = {}) =>
    send(environment.gateway.url, { token: credential, ...sent })
  const anthropic = (authToken: string) =>
    new Anthropic({
      ...{ authToken, apiKey: null, baseURL: environment.gateway.url, maxRetries: 0 },
      defaultHeaders: { 'anthropic-beta': 'tests-1' },
    })
  const acme = (kind: 'key' | 'token') => (kind === 'key' ? environment.acme.secret : environment.acme.token)
  const set = expected.entitles === true ? { ...ACME_HEADERS, [MODEL_HEADER]: 'llama-3-8b' } : ACME_HEADERS
  const bodyAtEngine = () => {
    const { body } = environment.upstream.theRequest()
    return expected.salts ? withoutSalt(body) : body
  }
  const allowed = [...CLIENTS, passesOn, ...expected.passedOn]

  function expectOnlyOurs(): void {
    const request = environment.upstream.theRequest()
    const text = JSON.stringify(request)
    expect(text).not.toContain(MARK)
    expect(text).not.toMatch(/mmk_|eyJ/)
    const names = request.rawHeaders.map(([spelled]) => spelled.toLowerCase())
    expect(names.filter(each => !allowed.includes(each)).toSorted()).toEqual(Object.keys(set).toSorted())
    expect(request.headers).toMatchObject(set)
  }

  const { guide } = expected
  if (guide)
    it(`${name} has the table of its contract in its guide`, () => {
      const { found, made } = tableInGuide(expected, guide)
      expect(found).toBe(made)
    })

  checkHonestClients(name, expected, () => environment)
  checkLeavingClients(name, expected, () => environment)
  checkSteeringFields(name, expected, () => environment)
  checkMalformedRequests(name, expected, () => environment)
  checkPathsOfChecks(name, expected, () => environment)
  checkForeignChecks(name, expected, () => environment)
  checkMedia(name, expected, () => environment)
  checkIdleConnections(name, expected, () => environment)
  checkSlowMintmark(name, expected, () => environment)
  if (!expected.absent) expected.more?.({ environment: () => environment, expectOnlyOurs })

  describe.skipIf(expected.absent).each(expected.credentials)(`${name}, with a %s`, kind => {
    it.each(NAMES)('accepts %s from the gateway only', async forged => {
      for (const [how, spelled] of SPELLINGS) {
        environment.upstream.forget()
        expect((await show(acme(kind), { headers: spelled(forged) })).status, how).toBe(200)
        expectOnlyOurs()
      }
    })

    it('passes another client header, as a control', async () => {
      await show(acme(kind), { headers: [[passesOn, MARK]] })
      expect(environment.upstream.theRequest().headers[passesOn]).toBe(MARK)
    })

    it('forwards its own headers even when Connection names them', async () => {
      const headers: [string, string][] = [['Connection', 'close, x-vllm-priority, x-tenant-id']]
      await show(acme(kind), { headers })
      for (const { headers } of environment.upstream.requests) expect(headers).toMatchObject(set)
    })

    it('serves the unmodified openai client, streaming too', async () => {
      const client = new OpenAI({
        apiKey: acme(kind),
        baseURL: `${environment.gateway.url}/v1`,
        maxRetries: 0,
      })
      const asked = { model: 'llama-3-8b', messages: [{ role: 'user' as const, content: 'Hello' }] }
      await client.chat.completions.create(asked)
      expect(environment.upstream.theRequest().headers['x-tenant-id']).toBe('acme')
      expect(JSON.stringify(environment.upstream.theRequest())).not.toMatch(/mmk_|eyJ/)
      environment.upstream.forget()
      const chunks: unknown[] = []
      for await (const chunk of await client.chat.completions.create({ ...asked, stream: true }))
        chunks.push(chunk)
      expect(chunks.length).toBeGreaterThan(1)
    })

    it('serves the unmodified anthropic client, and hands on its version and beta headers', async () => {
      const client = anthropic(acme(kind))
      await client.messages.create(MESSAGE)
      const { path, headers } = environment.upstream.theRequest()
      expect(path).toBe('/v1/messages')
      expect(headers).toMatchObject({
        'x-tenant-id': 'acme',
        'anthropic-version': expect.stringMatching(/^\d{4}-\d\d-\d\d$/),
        'anthropic-beta': 'tests-1',
      })
      expect(JSON.stringify(environment.upstream.theRequest())).not.toMatch(/mmk_|eyJ/)
      environment.upstream.forget()
      await client.messages.countTokens({ model: MESSAGE.model, messages: MESSAGE.messages })
      expect(environment.upstream.theRequest().path).toBe('/v1/messages/count_tokens')
    })

    it('takes equal credentials in two headers as one, as Claude Code sends its apiKeyHelper', async () => {
      const { status } = await show(acme(kind), { headers: [['x-api-key', acme(kind)]] })
      expect(status).toBe(200)
      expectOnlyOurs()
    })

    it('explains a refusal to the anthropic client', async () => {
      const refused = (credential: string, model: string) =>
        anthropic(credential)
          .messages.create({ ...MESSAGE, model })
          .catch((error: unknown) => error)
      const wrong = await refused('sk-ant-1', 'llama-3-8b')
      if (unauthorized === 401) expect(wrong).toBeInstanceOf(Anthropic.AuthenticationError)
      else expect(wrong).toBeInstanceOf(Anthropic.PermissionDeniedError)
      if (!expected.entitles) return
      const foreign = await refused(acme(kind), 'globex-sql')
      expect(foreign).toBeInstanceOf(Anthropic.PermissionDeniedError)
      if (expected.explains !== false)
        expect(foreign).toMatchObject({ type: 'permission_error', error: { type: 'error' } })
    })

    it('lists the models of the caller, not those of the engine', async () => {
      const client = new OpenAI({
        apiKey: acme(kind),
        baseURL: `${environment.gateway.url}/v1`,
        maxRetries: 0,
      })
      const ids = (await client.models.list()).data.map(({ id }) => id)
      expect(ids).toEqual(MODELS_OF_ACME)
      expect(environment.upstream.requests).toHaveLength(0)
    })

    it('answers for each model of the caller by its name, and 404 for every other', async () => {
      const credential = acme(kind)
      const baseURL = `${environment.gateway.url}/v1`
      const openai = new OpenAI({ apiKey: credential, baseURL, maxRetries: 0 })
      for (const id of ['llama-3-8b', 'acme-sql']) {
        const owned_by = id === 'acme-sql' ? 'acme' : 'mintmark'
        expect(await openai.models.retrieve(id)).toMatchObject({ id, object: 'model', owned_by })
        expect(await anthropic(credential).models.retrieve(id)).toMatchObject({
          ...{ id, type: 'model', display_name: id, created_at: '1970-01-01T00:00:00Z' },
        })
      }
      await expect(openai.models.retrieve('globex-sql')).rejects.toBeInstanceOf(OpenAI.NotFoundError)
      const refused = await anthropic(credential)
        .models.retrieve('globex-sql')
        .catch((error: unknown) => error)
      expect(refused).toBeInstanceOf(Anthropic.NotFoundError)
      expect(refused).toMatchObject({ type: 'not_found_error' })
      const named = (name: string) => show(credential, { method: 'GET', path: `/v1/models/${name}?limit=1` })
      for (const name of ['mistralai/Mistral-7B', '/models/Llama-3.1'])
        expect(JSON.parse((await named(name)).text)).toMatchObject({ id: name })
      // Envoy rejects encoded slashes.
      const { status, text } = await named('mistralai%2FMistral-7B')
      expect([200, 400]).toContain(status)
      if (status === 200) expect(JSON.parse(text)).toMatchObject({ id: 'mistralai/Mistral-7B' })
      for (const name of ['', 'llama', 'LLAMA-3-8b', 'llama-3-8b/', 'llama-3-8b/x', '%00', 'a%zz'])
        expect([400, 403, 404]).toContain((await named(name)).status)
      expect(environment.upstream.requests).toHaveLength(0)
    })

    it.each(CLOSED_ROUTES)('keeps closed %s %s', async (method, path) => {
      const body = method === 'POST' ? chat('llama-3-8b') : ''
      for (const credential of [acme(kind), undefined]) {
        const { status } = await show(credential, { method, path, body })
        expect([200, 400, 401, 403, 404, 405, 413]).toContain(status)
        // What is normalized before it is compared reaches the engine in that form, or not at all. Go's server answers
        // OPTIONS * itself.
        if (status === 200 && path !== '*')
          expect(MODEL_ROUTES.map(route => route.path)).toContain(environment.upstream.theRequest().path)
        else expect(environment.upstream.requests).toHaveLength(0)
        if (credential === undefined && path !== '*') expect(status).not.toBe(200)
        expect(environment.upstream.malformed).toEqual([])
        environment.upstream.forget()
      }
    })

    it('keeps closed every other route of vLLM, and those of other engines', async () => {
      const opened: string[] = []
      for (const path of OTHER_ROUTES)
        for (const method of ['GET', 'POST', 'DELETE']) {
          const body = method === 'POST' ? chat('llama-3-8b') : ''
          const { status } = await show(acme(kind), { method, path, body })
          if (status < 400) opened.push(`${method} ${path} ${status}`)
        }
      expect(opened).toEqual([])
      expect(environment.upstream.requests).toHaveLength(0)
    })

    it.each(CLOSED_REQUESTS)('rejects %s', async (_, line, header) => {
      const head = `${line}\r\nHost: inference.example.com\r\n${header}Authorization: Bearer ${acme(kind)}\r\n`
      const { status } = await rawHttp(
        environment.gateway.url,
        `${head}Content-Length: 0\r\nConnection: close\r\n\r\n`,
      )
      // An offer to upgrade may be ignored: the list of models is then not a websocket.
      const passedOver = /^upgrade/i.test(header) && (line.startsWith('GET') || !expected.entitles)
      // A preflight may be answered, without the headers that allow anything (honest-clients.ts).
      if (!passedOver && !header.startsWith('Origin')) expect(status).toBeGreaterThanOrEqual(400)
      const reached = environment.upstream.requests
      if (!passedOver) expect(reached).toHaveLength(0)
      for (const { headers, path } of reached) {
        expect(headers.upgrade).toBeUndefined()
        expect(path).toBe('/v1/chat/completions')
      }
    })

    it('forwards no smuggled and no ambiguous request', async () => {
      const authorization = `Bearer ${acme(kind)}`
      const bytes = SMUGGLING.map(([, of]) => of(authorization, chat('llama-3-8b')))
      await Promise.all(bytes.map(each => rawHttp(environment.gateway.url, each)))
      for (const { path, headers, rawHeaders } of environment.upstream.requests) {
        expect(path).toBe('/v1/chat/completions')
        expect(headers['x-tenant-id']).toBe('acme')
        expect(JSON.stringify(rawHeaders)).not.toMatch(/mmk_|eyJ/)
      }
    })

    it('hands on no trailers', async () => {
      const bytes = withTrailers(`Bearer ${acme(kind)}`, chat('llama-3-8b'))
      const { status } = await rawHttp(environment.gateway.url, bytes)
      expect([200, 400, 411]).toContain(status)
      for (const { trailers, headers } of environment.upstream.requests) {
        expect(trailers).toEqual([])
        expect(headers).toMatchObject(set)
      }
    })

    it.runIf(expected.entitles !== false)(
      'admits every model and adapter of the tenant, on every route',
      async () => {
        for (const model of MODELS_OF_ACME)
          for (const { path } of MODEL_ROUTES) {
            environment.upstream.forget()
            expect((await show(acme(kind), { path, body: chat(model) })).status).toBe(200)
            expect(bodyAtEngine()).toBe(chat(model))
            expect(environment.upstream.theRequest()).toMatchObject({
              path,
              headers: expected.entitles === true ? { [MODEL_HEADER]: model } : {},
            })
          }
      },
    )
    it.runIf(expected.entitles !== false).each(READABLE_BODIES)('reads %s', async (_, body) => {
      expect((await show(acme(kind), { body })).status).toBe(200)
      expect(bodyAtEngine()).toBe(body)
    })
    it.runIf(expected.salts).each(SALTS)(
      'sets the cache salt from the tenant, where the client sends %s',
      async (written, salt) => {
        const salted = written === undefined ? '' : `,"cache_salt": ${written} `
        const body = `{"model":"acme-sql","messages":[]${salted}}`
        expect((await show(acme(kind), { body })).status).toBe(200)
        expect(JSON.parse(environment.upstream.theRequest().body)).toMatchObject({ cache_salt: salt })
      },
    )
    it.runIf(expected.entitles !== false).each(REFUSED_BODIES)('rejects %s', async (_, sent, status) => {
      const answer = await show(acme(kind), sent)
      expect(answer.status).toBe(expected.entitles === 'by asking' && status !== 413 ? 403 : status)
      expect(environment.upstream.requests).toHaveLength(0)
    })

    it('never admits for one tenant or model what it admitted for another', async () => {
      const globex = await environment.holder({ adapters: ['globex-sql'] })
      const theirs = kind === 'key' ? globex.secret : globex.token
      const model = (text: string) => ({ body: chat(text) })
      for (let round = 0; round < 3; round++) {
        expect((await show(acme(kind), model('acme-sql'))).status).toBe(200)
        expect(environment.upstream.requests.at(-1)?.headers['x-tenant-id']).toBe('acme')
        expect((await show(theirs, model('globex-sql'))).status).toBe(200)
        expect(environment.upstream.requests.at(-1)?.headers['x-tenant-id']).toBe(globex.tenantId)
        if (!expected.entitles) continue
        expect((await show(acme(kind), model('globex-sql'))).status).toBe(403)
        expect((await show(theirs, model('acme-sql'))).status).toBe(403)
      }
    })
  })

  const refusedKeys: [what: string, status: number, secret: () => Promise<string> | string][] = [
    ['an sk- key of another service', unauthorized, () => 'sk-proj-1234567890'],
    ['an unknown key', unauthorized, () => formatCredential('mmk', randomId(systemRandom), systemRandom)],
    ['a revoked key', unauthorized, () => after(({ keyId }) => `/keys/${keyId}/revoke`)],
    ['a disabled key', 403, () => after(({ keyId }) => `/keys/${keyId}/disable`)],
    ["a suspended tenant's key", 403, () => after(({ tenantId }) => `/tenants/${tenantId}/suspend`)],
    [
      'a key without the audience',
      403,
      async () => (await environment.holder({ audiences: ['billing'] })).secret,
    ],
  ]
  async function after(path: (holder: { keyId: string; tenantId: string }) => string): Promise<string> {
    const fresh = await environment.holder()
    await environment.mintmark.admin('POST', path(fresh))
    return fresh.secret
  }

  const refusedCredentials: [what: string, sent: () => Promise<Sent> | Sent][] = [
    ['no credential', () => ({})],
    ['an empty one', () => ({ headers: [['Authorization', '']] })],
    ['Basic', () => ({ headers: [['Authorization', `Basic ${btoa(environment.acme.secret)}`]] })],
    ['a key in the query', () => ({ path: `/v1/chat/completions?api_key=${environment.acme.secret}` })],
    ['a token in the query', () => ({ path: `/v1/chat/completions?access_token=${environment.acme.token}` })],
    ['a token in x-api-key', () => ({ headers: [['x-api-key', environment.acme.token]] })],
    [
      'a token and a key in one header',
      () => authorization(`Bearer ${environment.acme.token},Bearer ${environment.acme.secret}`),
    ],
    [
      'a token and a key in two',
      () => authorization(`Bearer ${environment.acme.token}`, `Bearer ${environment.acme.secret}`),
    ],
    [
      'the same key twice',
      () => authorization(`Bearer ${environment.acme.secret}`, `Bearer ${environment.acme.secret}`),
    ],
    [
      'the same token twice',
      () => authorization(`Bearer ${environment.acme.token}`, `Bearer ${environment.acme.token}`),
    ],
    [
      'a token with its signature cut off',
      () => authorization(`Bearer ${environment.acme.token.replace(/[^.]+$/, '')}`),
    ],
    ['a token with its payload changed', () => authorization(`Bearer ${tampered(environment.acme.token)}`)],
    ['an unsigned token', () => authorization(`Bearer ${unsigned(environment.acme.token)}`)],
    ['a token for another audience', async () => authorization(`Bearer ${await foreignToken()}`)],
  ]
  const authorization = (...values: string[]): Sent => ({
    headers: values.map(value => ['Authorization', value]),
  })
  async function foreignToken(): Promise<string> {
    const { body } = await environment.mintmark.token({
      grant_type: 'client_credentials',
      client_secret: environment.acme.secret,
      audience: 'billing',
    })
    return body.access_token
  }

  describe.skipIf(expected.absent)(`${name} and the scope of a token`, () => {
    const LIKE_IT = ['usage.read', 'inferences', 'x-inference', 'inference:read', 'Inference']
    const scopes = ['inference', ...LIKE_IT]
    let secret: string
    beforeAll(async () => {
      secret = (await environment.holder({ scopes }, { scopes })).secret
    })
    const tokenWith = async (scope: string): Promise<string> => {
      const { body } = await environment.mintmark.token({
        grant_type: 'client_credentials',
        client_secret: secret,
        scope,
      })
      return body.access_token
    }

    it.each(['inference', LIKE_IT.join(' inference '), 'usage.read inference', 'inference usage.read'])(
      'admits "%s"',
      async scope => {
        expect((await show(await tokenWith(scope))).status).toBe(200)
        expect(environment.upstream.requests).toHaveLength(1)
      },
    )

    it.each([...LIKE_IT, LIKE_IT.join(' ')])('rejects "%s"', async scope => {
      const { status, text } = await show(await tokenWith(scope))
      expect({ status, text }).toMatchObject({
        status: 403,
        text: expect.stringContaining('"permission_error"'),
      })
      expect(environment.upstream.requests).toHaveLength(0)
    })

    it('lists no models for a token without it', async () => {
      const { status } = await show(await tokenWith('usage.read'), { method: 'GET', path: '/v1/models' })
      expect(status).toBe(403)
      expect(environment.upstream.requests).toHaveLength(0)
    })
  })

  describe.skipIf(expected.absent || withoutPython)(`${name} and OpenAI's client for Python`, () => {
    it('answers it unmodified, streams, lists models, and explains a rejected key', async () => {
      const credentials = expected.credentials.map(acme)
      const baseURL = `${environment.gateway.url}/v1`
      const { result } = scenario('openai_key.py', 'ask', { baseURL, credentials })
      const served = {
        model: 'llama-3-8b',
        chunks: 2,
        models: MODELS_OF_ACME,
        refused: 'AuthenticationError',
      }
      expect(await result).toEqual(credentials.map(() => served))
      expect(JSON.stringify(environment.upstream.requests)).not.toMatch(/mmk_|eyJ/)
    })
  })

  describe.skipIf(expected.absent)(`${name} and bad credentials`, () => {
    it.runIf(expected.credentials.includes('key')).each(refusedKeys)(
      'rejects the key: %s, with %i',
      async (_, status, secret) => {
        const answer = await show(await secret())
        expect(answer.status).toBe(status)
        expect(JSON.parse(answer.text).error).toMatchObject({
          message: expect.any(String),
          code: expect.any(String),
        })
        if (status === 401) expect(answer.headers['www-authenticate']).toMatch(/^Bearer/)
        expect(environment.upstream.requests).toHaveLength(0)
      },
    )

    it.each(refusedCredentials)('rejects the credential: %s', async (_, sent) => {
      const { status, text, headers } = await show(undefined, await sent())
      expect([400, 401, 403]).toContain(status)
      expect(`${JSON.stringify(headers)}${text}`).not.toMatch(/mmk_|eyJ/)
      expect(environment.upstream.requests).toHaveLength(0)
    })

    it.each(['x-api-key', 'api-key', 'X_Api_Key'])(
      'rejects or removes a key in %s sent with another credential',
      async header => {
        for (const kind of expected.credentials) {
          environment.upstream.forget()
          const { status } = await show(acme(kind), { headers: [[header, environment.acme.secret]] })
          expect([200, 400, 401, 403]).toContain(status)
          expect(JSON.stringify(environment.upstream.requests)).not.toContain('mmk_')
        }
      },
    )
  })

  describe.skipIf(expected.absent || expected.refusesBeforeBody === 'none')(
    `${name} and a body that does not come`,
    () => {
      const half = (authorization: string) =>
        `POST /v1/chat/completions HTTP/1.1\r\nHost: inference.example.com\r\n${authorization}` +
        'Content-Type: application/json\r\nContent-Length: 4000000\r\n\r\n{"messages":'

      const unknown = formatCredential('mmk', randomId(systemRandom), systemRandom)
      const bad: [what: string, authorization: string][] = [
        ['no credential', ''],
        ['a credential of another form', 'Authorization: Bearer sk-proj-1234567890\r\n'],
        ['a key with a wrong checksum', `Authorization: Bearer mmk_${'0'.repeat(16)}_${'0'.repeat(49)}\r\n`],
        ['a token that cannot be read', 'Authorization: Bearer eyJ.eyJ.x\r\n'],
        ['an unknown key', `Authorization: Bearer ${unknown}\r\n`],
        ['what only looks like a token', 'Authorization: Bearer eyJhIjoxfQ.eyJhIjoxfQ.eA\r\n'],
        ['the same in lower case', 'Authorization: bearer eyJhIjoxfQ.eyJhIjoxfQ.eA\r\n'],
      ]
      it.each(bad)('answers %s without waiting for it', async (_, authorization) => {
        const { status } = await rawHttp(environment.gateway.url, half(authorization))
        expect(status).toBe(unauthorized)
      })
    },
  )

  describe.skipIf(expected.absent)(`${name}, where no body belongs,`, () => {
    const stalled: [what: string, line: string, framing: string][] = [
      ['a length', 'GET /v1/models', 'Content-Length: 4194304\r\n\r\nx'],
      ['chunks', 'GET /v1/models', 'Transfer-Encoding: chunked\r\n\r\n1;aaaa'],
      ['a length, on an unknown route', 'POST /v1/unknown', 'Content-Length: 4194304\r\n\r\nx'],
      ['chunks, on an unknown route', 'POST /v1/unknown', 'Transfer-Encoding: chunked\r\n\r\n1;aaaa'],
      ['a length, with another method', 'GET /v1/chat/completions', 'Content-Length: 4194304\r\n\r\nx'],
    ]
    it.each(stalled)('answers without waiting for one: %s', async (_, line, framing) => {
      const { status } = await rawHttp(
        environment.gateway.url,
        `${line} HTTP/1.1\r\nHost: inference.example.com\r\n${framing}`,
      )
      expect(status).toBeGreaterThanOrEqual(400)
      expect(status).toBeLessThan(500)
    })
  })

  describe.skipIf(expected.absent)(`${name}, once Mintmark is stopped`, () => {
    beforeAll(async () => {
      await environment.mintmark.service.stop()
    })

    it.runIf(expected.credentials.includes('key'))('answers keys 503 and lets none through', async () => {
      const fresh = formatCredential('mmk', randomId(systemRandom), systemRandom)
      await until(
        'a cached response has expired',
        () => show(environment.acme.secret),
        ({ status }) => status === 503,
      )
      environment.upstream.forget()
      for (const secret of [environment.acme.secret, fresh]) {
        const answer = await show(secret)
        expect(answer.status).toBe(503)
        expect(JSON.parse(answer.text).error).toMatchObject({ type: 'server_error', code: 'unavailable' })
      }
      // What cannot be a key by its form may be refused without asking.
      expect([unauthorized, 503]).toContain((await show('sk-1')).status)
      expect(environment.upstream.requests).toHaveLength(0)
    })

    it(expected.verifiesTokens ? 'continues to admit tokens' : 'lets through no tokens', async () => {
      const { status } = await show(environment.acme.token)
      expect(status).toBe(expected.verifiesTokens ? 200 : 503)
      if (expected.verifiesTokens) expectOnlyOurs()
      else expect(environment.upstream.requests).toHaveLength(0)
    })
  })
}

function tampered(token: string): string {
  const [header, payload = '', signature] = token.split('.')
  const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), tenant: 'globex' }
  return [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.')
}

function unsigned(token: string): string {
  const header = Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt' })).toString('base64url')
  return `${header}.${token.split('.')[1]}.`
}
