import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { deployFiles } from '../../deploy/generate/deploy-files.ts'
import {
  CLAIM_HEADERS,
  CONTRACT_NUMBER,
  MODEL_HEADER,
  MODEL_ROUTES,
  openRoutes,
  ROUTE_GROUPS,
  withoutForms,
} from '../../src/gateway/headers.ts'
import { REFUSED_WITHOUT_REWRITE } from '../../src/gateway/refused-fields.ts'
import type { TestService } from '../support/test-service.ts'
import { type Context, evaluate, holds } from './agentgateway/cel.ts'
import { expressionsOf, type File, routesOf } from './agentgateway/file.ts'
import { schema } from './agentgateway/schema.ts'
import { chat } from './client.ts'
import { GUARANTEES } from './contract-table.ts'
import { READABLE_BODIES, REFUSED_BODIES } from './entitlement-cases.ts'
import { startMintmark, tokenOf } from './environment.ts'
import { NAMES, SPELLINGS as SPELLED_HEADERS, VALUE } from './forged-headers.ts'
import { EMBEDDING_BODIES, FETCHING_BODIES } from './media-cases.ts'
import { ELSEWHERE, escaped, SPELLINGS } from './steering-fields.ts'

/**
 * deploy/agentgateway without agentgateway, which no registry has: its files by its published schema, and their expressions
 * by another implementation of CEL, with claims of tokens that a real Mintmark signed.
 */
const FILES = ['agentgateway.yaml', 'agentgateway-limits.yaml']
const textOf = (name: string) =>
  readFileSync(new URL(`../../deploy/agentgateway/${name}`, import.meta.url), 'utf8')
const file = (name = 'agentgateway-limits.yaml'): File => parse(textOf(name))

let mintmark: TestService
let claims: Record<string, never>
let limited: Record<string, never>
beforeAll(async () => {
  mintmark = await startMintmark()
  const acme = {
    id: 'acme',
    tier: 'premium',
    allowed_tiers: ['premium'],
    adapters: ['acme-sql', 'acme-chat'],
  }
  claims = decodeJwt(await tokenOf(mintmark, acme))
  const limits = {
    requests_per_minute: 5,
    requests_per_day: 4_294_967_295,
    tokens_per_minute: 700,
    tokens_per_day: 9,
  }
  limited = decodeJwt(await tokenOf(mintmark, { id: 'globex', adapters: ['globex-sql'], limits }))
})
afterAll(() => mintmark?.stop())

const JSON_TYPE = { 'content-type': 'application/json' }
const context = (body: string | Buffer, more: Partial<Context> = {}): Context => ({
  ...{ headers: JSON_TYPE, body: Buffer.from(body), claims },
  ...more,
})
/** Whether the rule of the route for chats admits a request. */
const admits = (body: string | Buffer, more: Partial<Context> = {}) =>
  holds(routesOf(file()).models.rule, context(body, more))

describe('docs/guides/agentgateway.md', () => {
  const page = readFileSync(new URL('../../docs/guides/agentgateway.md', import.meta.url), 'utf8')
  const [, section = ''] = page.split(`## The contract (number ${CONTRACT_NUMBER})\n`)
  const rows = section
    .split('\n')
    .filter(line => /^\| (?!guarantee)/.test(line))
    .map(line => line.split(' | ').map(cell => cell.replace(/^\| | \|$/g, '')))

  it('has a row for each guarantee of the contract', () => {
    expect(rows.map(([guarantee]) => guarantee)).toEqual(GUARANTEES)
  })

  it('names a test of this file for each that is shown', () => {
    const tests = readFileSync(new URL(import.meta.url), 'utf8')
    const named = rows.flatMap(([, , test = '']) => (test === 'not shown' ? [] : [test]))
    expect(named.length).toBeGreaterThan(10)
    for (const test of named) expect(tests, test).toContain(`'${test}'`)
  })
})

describe.each(FILES)('deploy/agentgateway/%s', name => {
  const validate = new Ajv2020({ strict: false, formats: { uint8: true, uint16: true } }).compile(schema())

  it('has only fields that the published schema has, with values of their types', () => {
    expect(validate(file(name)), JSON.stringify(validate.errors)).toBe(true)
  })

  it.each([
    ['authorization:', 'authorisation:'],
    ['mode: permissive', 'mode: lenient'],
    ['denyWithStatus: 503', 'denyWithStatus: "503"'],
    ['rules:', 'rule:'],
    ['maxBufferSize: 4194304', 'maxBodySize: 4194304'],
    ['path: { exact: /v1/embeddings }', 'path: /v1/embeddings'],
  ])('is not accepted with a fault: %s as %s', (right, wrong) => {
    expect(textOf(name)).toContain(right)
    expect(validate(parse(textOf(name).replace(right, wrong)))).toBe(false)
  })

  it('passes no request on to Mintmark, whatever its path', () => {
    for (const { name: route, backends = [] } of routesOf(file(name)).all)
      expect(JSON.stringify(backends), route).not.toContain('mintmark')
    expect(JSON.stringify(routesOf(file(name)).models.backends)).toContain('vllm')
  })

  it('has expressions that are CEL, with functions that agentgateway documents', () => {
    const documented = [
      ...['json', 'toJson', 'merge', 'has', 'all', 'exists', 'map', 'filter', 'contains', 'size', 'matches'],
      ...['startsWith', 'lowerAscii', 'replace', 'split', 'substring'],
    ]
    const expressions = expressionsOf(file(name))
    expect(expressions.length).toBeGreaterThan(20)
    for (const expression of expressions) {
      expect(() => evaluate(expression, {}), expression).not.toThrow()
      const bare = expression.replaceAll(/"[^"]*"|'[^']*'/g, '')
      const called = [...bare.matchAll(/([a-zA-Z]\w*)\(/g)].map(([, found]) => found)
      expect(called.filter(found => found && !documented.includes(found))).toEqual([])
    }
  })

  it('has nothing that agentgateway takes for a variable of the environment', () => {
    expect(textOf(name)).not.toContain('$')
  })

  it('verifies every token that it takes: issuer, audience, keys', () => {
    const { listener, models, list } = routesOf(file(name))
    for (const policies of [listener.policies, models.policies, list.policies])
      expect(policies.jwtAuth).toMatchObject({
        issuer: 'https://tokens.example.com',
        audiences: ['vllm'],
        jwks: { url: expect.stringContaining('/.well-known/jwks.json') },
      })
    expect(listener.policies.jwtAuth.mode).toBe('permissive')
  })

  it('has a rule, and only one, on each route to the engine, and opens no other route', () => {
    expect(openedBy(file(name))).toEqual(MODEL_ROUTES.map(({ path }) => ['POST', path, 1]).toSorted())
  })

  it('opens other groups of routes, and is accepted then too, without those of forms', () => {
    const made = parse(deployFiles(ROUTE_GROUPS)[`deploy/agentgateway/${name}`] ?? '')
    const { MODEL_ROUTES: all } = withoutForms(openRoutes(ROUTE_GROUPS))
    expect(openedBy(made)).toEqual(all.map(({ path }) => ['POST', path, 1]).toSorted())
    expect(validate(made), JSON.stringify(validate.errors)).toBe(true)
  })

  function openedBy(opening: File) {
    const opened = routesOf(opening).all.flatMap(route =>
      route.backends
        ? route.matches.map(({ method, path }) => [
            method,
            path.exact,
            route.policies.authorization?.rules.length,
          ])
        : [],
    )
    return opened.toSorted()
  }
})

describe('the rule of agentgateway', () => {
  /** Read with the last value of a name given twice, as vLLM reads it. The engine decodes names and values with escapes too. */
  const READ_AS_THE_ENGINE = [
    'an adapter written with escapes',
    'model twice, the foreign one first',
    'a string that hides the end of an object',
    'model only in escapes',
    // Bounds of our own readers.
    ...['1,001 names', '300,000 brackets', '300,000 brackets in four values', 'a number of 2,000 digits'],
    // Only the first header is read, and the body must be JSON in any case.
    'two media types',
  ]
  /** What agentgateway's limit decides, before the rule. */
  const isLong = (body: unknown) => Buffer.byteLength(String(body ?? '')) > 1_000_000

  it.each(REFUSED_BODIES.filter(([what, { body }]) => !READ_AS_THE_ENGINE.includes(what) && !isLong(body)))(
    'rejects %s',
    (_, { body = chat('llama-3-8b'), contentType = 'application/json', headers = [] }) => {
      const sent = Object.fromEntries(headers.map(([header, value]) => [header.toLowerCase(), value]))
      const type = contentType === null ? {} : { 'content-type': contentType }
      expect(admits(body, { headers: { ...type, ...sent } })).toBe(false)
    },
  )

  it('rejects a body that agentgateway does not hand to it, because it is too long', () => {
    const { body, ...without } = context('')
    expect(body).toBeDefined()
    expect(holds(routesOf(file()).models.rule, without)).toBe(false)
  })

  it.each(READABLE_BODIES.filter(([what, body]) => !what.includes('only Python') && !isLong(body)))(
    'admits %s',
    (_, body) => {
      expect(admits(body)).toBe(true)
    },
  )

  it.each(['application/json; charset=utf-8', 'Application/JSON;charset="utf8"', 'application/json;'])(
    'takes a body of %s',
    type => {
      expect(admits(chat('acme-sql'), { headers: { 'content-type': type } })).toBe(true)
    },
  )

  it('admits every model and adapter of the token, and no other', () => {
    const named = [...(claims.models ?? []), ...(claims.adapters ?? [])] as string[]
    expect(named).toEqual(expect.arrayContaining(['llama-3-8b', '/models/Llama-3.1', 'acme-sql']))
    for (const model of named) expect(admits(chat(model)), model).toBe(true)
    for (const model of ['globex-sql', '', 'acme', 'ACME-SQL']) expect(admits(chat(model)), model).toBe(false)
  })

  it.each([
    ['without a verified token', undefined],
    ['without the scope', { scope: 'admin inference2' }],
    ['without a scope', { scope: undefined }],
    ['with a scope that is a list', { scope: ['inference'] }],
    ['without models', { models: undefined }],
    ['with models as a text', { models: 'llama-3-8b', adapters: [] }],
  ])('rejects a request %s', (_, changes) => {
    const changed = changes && JSON.parse(JSON.stringify({ ...claims, ...changes }))
    expect(admits(chat('llama-3-8b'), { claims: changed })).toBe(false)
    expect(admits(chat('llama-3-8b'))).toBe(true)
  })

  it.each(REFUSED_WITHOUT_REWRITE)('rejects the field %s however it is written', field => {
    // This evaluator does not find a name whose value is null, although CEL's specification does. Engines ignore such fields.
    for (const [how, body] of SPELLINGS.filter(([each]) => each !== 'as null'))
      expect(admits(body(field)), how).toBe(false)
    expect(admits(`{"model":"acme-sql","${escaped(field)}":"x"}`), 'escapes').toBe(false)
  })

  it.each(ELSEWHERE)('takes names of fields that steer the engine %s', (_, body) => {
    for (const field of [...REFUSED_WITHOUT_REWRITE, 'priority'])
      expect(admits(body(field)), field).toBe(true)
  })

  it('rejects `priority` in the body on routes where no header overrides it', () => {
    const body = '{"model":"acme-sql","priority":-9}'
    const { models, withoutPriority } = routesOf(file())
    expect(holds(models.rule, context(body))).toBe(true)
    expect(holds(withoutPriority.rule, context(body))).toBe(false)
    expect(holds(withoutPriority.rule, context('{"model":"acme-sql","input":"x"}'))).toBe(true)
  })

  it.each(FETCHING_BODIES)('rejects media that the engine would fetch: %s', (_, body) => {
    expect(admits(body)).toBe(false)
  })

  /** Bodies that other gateways take: the rule does not see where in the body a name is. */
  const REJECTED_HERE = ['the name of an image elsewhere', 'a uuid of something else']

  it.each(EMBEDDING_BODIES)('takes %s, or is known to be stricter', (what, body) => {
    expect(admits(body)).toBe(!REJECTED_HERE.includes(what))
  })
})

describe('headers at agentgateway', () => {
  /** The headers behind the listener: the names that it removes are gone. */
  function behindListener(sent: [string, string][]): Record<string, string> {
    const removed = routesOf(file()).listener.policies.transformations.request.remove
    const headers = new Map<string, string>(Object.entries(JSON_TYPE))
    for (const [name, value] of sent) headers.set(name.toLowerCase(), value)
    for (const name of removed) headers.delete(name)
    return Object.fromEntries(headers)
  }

  it.each(NAMES)('removes or rejects %s from the client, in every spelling', name => {
    for (const [how, spelled] of SPELLED_HEADERS) {
      const headers = behindListener(spelled(name))
      const left = Object.keys(headers).filter(each => !(each in JSON_TYPE))
      expect(left.length > 0 && admits(chat('acme-sql'), { headers }), `${how}: ${left}`).toBe(false)
    }
  })

  it('takes other headers, with underscores too', () => {
    const headers = behindListener([
      ['X-Harmless', VALUE],
      ['x_harmless', VALUE],
      ['anthropic-version', '2023-06-01'],
      ['user-agent', 'x'],
    ])
    expect(admits(chat('acme-sql'), { headers })).toBe(true)
  })

  it('sets those of the claims, as strings, and the model, and removes credentials', () => {
    const { policies } = routesOf(file()).models
    const set = Object.entries(policies.transformations.request.set).map(([header, expression]) => {
      const result = evaluate(expression, context(chat('acme-sql')))
      return [header, 'value' in result && result.value]
    })
    expect(Object.fromEntries(set)).toEqual({
      ...Object.fromEntries(CLAIM_HEADERS.map(({ claim, header }) => [header, claims[claim]])),
      [MODEL_HEADER]: 'acme-sql',
    })
    expect(policies.requestHeaderModifier.remove).toEqual(
      expect.arrayContaining([
        ...['authorization', 'x-api-key', 'api-key', 'origin', 'x-request-id', 'trailer'],
        ...['x_api_key', 'x_api-key', 'x-api_key', 'api_key'],
      ]),
    )
  })

  it('asks Mintmark about everything but a verified token and a preflight', () => {
    const [{ condition, failureMode }] = routesOf(file()).listener.policies.extAuthz.conditional
    expect(holds(condition, { claims })).toBe(false)
    expect(holds(condition, { method: 'OPTIONS' })).toBe(false)
    for (const method of ['GET', 'POST', 'PUT', 'options']) expect(holds(condition, { method })).toBe(true)
    expect(failureMode).toEqual({ denyWithStatus: 503 })
  })
})

describe('GET /v1/models at agentgateway', () => {
  const list = () => routesOf(file()).list
  const get = (path: string): Context => ({ method: 'GET', path, claims })
  function answer(path: string): { status: number; body: unknown } {
    const found = list().policies.directResponse.conditional.find(
      ({ condition }) => !condition || holds(condition, get(path)),
    )
    const made = found?.bodyExpression && evaluate(found.bodyExpression, get(path))
    if (made && 'error' in made) throw new Error(made.error)
    return { status: found?.status ?? 0, body: made ? made.value : JSON.parse(found?.body ?? '') }
  }

  it('needs a token with the scope', () => {
    expect(holds(list().rule, get('/v1/models'))).toBe(true)
    expect(holds(list().rule, { ...get('/v1/models'), claims: {} })).toBe(false)
    expect(holds(list().rule, { ...get('/v1/models'), claims: { ...claims, scope: 'other' } })).toBe(false)
  })

  it('lists the models and adapters of the token, in the form of OpenAI and of Anthropic', () => {
    const { status, body } = answer('/v1/models')
    expect(status).toBe(200)
    const { data, ...rest } = body as { data: { id: string }[] }
    expect(rest).toEqual({ object: 'list', has_more: false })
    expect(data.map(({ id }) => id)).toEqual([...(claims.models ?? []), ...(claims.adapters ?? [])])
    expect(data.at(-1)).toEqual({
      ...{ id: 'acme-chat', object: 'model', created: claims.iat, owned_by: 'acme', type: 'model' },
      ...{ display_name: 'acme-chat', created_at: '1970-01-01T00:00:00Z' },
    })
  })

  it.each([
    ['/v1/models/acme-sql', 200],
    ['/v1/models/mistralai/Mistral-7B', 200],
    ['/v1/models/mistralai%2FMistral-7B', 200],
    ['/v1/models/%2fmodels%2FLlama-3.1', 200],
    ['/v1/models/globex-sql', 404],
    ['/v1/models/', 404],
    ['/v1/models/acme', 404],
  ])('%s is %i', (path, status) => {
    const { body, ...found } = answer(path)
    expect(found).toEqual({ status })
    if (status === 404) expect(body).toMatchObject({ error: { code: 'model_not_found' } })
    else
      expect(path.toLowerCase()).toContain(
        encodeURI((body as { id: string }).id.split('/').at(-1) ?? '').toLowerCase(),
      )
  })
})

describe('the limits of the token at agentgateway', () => {
  const descriptors = () => routesOf(file()).models.policies.remoteRateLimit?.descriptors ?? []
  /** Those that agentgateway sends: it skips one of which an expression fails. */
  const sent = (of: object) =>
    descriptors().flatMap(({ entries, limitOverride, type }) => {
      const values = [limitOverride, ...entries.map(({ value }) => value)].map(each =>
        evaluate(each, { claims: of }),
      )
      const [limit, ...found] = values.map(each => ('value' in each ? each.value : undefined))
      if ([limit, ...found].includes(undefined)) return []
      return [{ entries: entries.map(({ key }, i) => [key, found[i]]), limit, type }]
    })

  it('are those of the claim, in buckets of the same names as those of Envoy', () => {
    expect(sent(limited)).toEqual([
      bucket('tenant_requests_daily', 'DAY', 4_294_967_295, 'requests'),
      bucket('tenant_tokens_daily', 'DAY', 9, 'tokens'),
      bucket('tenant_requests', 'MINUTE', 5, 'requests'),
      bucket('tenant_tokens', 'MINUTE', 700, 'tokens'),
    ])
  })

  const bucket = (name: string, unit: string, most: number, type: string) => ({
    entries: [
      ['tenant', 'globex'],
      [name, unit],
    ],
    limit: { unit: unit.toLowerCase(), requestsPerUnit: most },
    type,
  })

  it('are eight, and none for a token without limits', () => {
    expect(descriptors()).toHaveLength(8)
    expect(sent(claims)).toEqual([])
  })

  it('are the only difference between the two files', () => {
    const [plain, more] = FILES.map(name => routesOf(file(name)))
    expect(plain?.models.rule).toBe(more?.models.rule)
    expect(plain?.models.policies.remoteRateLimit).toBeUndefined()
    expect(plain?.listener.policies).toEqual(more?.listener.policies)
  })
})
