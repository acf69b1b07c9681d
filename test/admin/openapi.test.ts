import { readFileSync } from 'node:fs'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import { openApiDocument } from '../../src/admin/openapi/document.ts'
import { type JsonAnswer, request, startTestService, type TestService } from '../support/test-service.ts'
import { type Operation, operationsIn } from './operations.ts'

/** docs/openapi.json, read by third-party programs and compared with a running service. */

const text = readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8')
const document = JSON.parse(text)
const routes = adminRoutes({} as never)
const operations = operationsIn(document)

const ajv = new Ajv2020({ strict: false, allErrors: true })
addFormats.default(ajv)
ajv.addSchema(document, 'openapi.json')
const validator = (...path: string[]): ValidateFunction => {
  const pointer = path.map(part => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
  return ajv.compile({ $ref: `openapi.json#${encodeURI(pointer)}` })
}

describe('docs/openapi.json', () => {
  it('is the output of npm run generate', () => {
    expect(text).toBe(`${JSON.stringify(openApiDocument(routes), null, 2)}\n`)
  })

  it('has every route, under a unique name', () => {
    expect(operations).toHaveLength(routes.length)
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(routes.length)
  })

  it('has an example for every body', () => {
    const lacking = operations.filter(({ content, example }) => content && example === undefined)
    expect(lacking.map(({ operationId }) => operationId)).toEqual([])
  })

  it.each(Object.entries<{ examples?: unknown[] }>(document.components.schemas))(
    'shows %s with an example of it',
    (name, { examples = [] }) => {
      const validate = validator('components', 'schemas', name)
      for (const example of examples) expect(validate(example), ajv.errorsText(validate.errors)).toBe(true)
    },
  )

  it.each(operations.filter(({ content }) => content))(
    '$operationId has an example that matches',
    operation => {
      const { template, method, content = {}, example } = operation
      for (const type of Object.keys(content)) {
        const validate = validator('paths', template, method, 'requestBody', 'content', type, 'schema')
        expect(validate(example), ajv.errorsText(validate.errors)).toBe(true)
      }
    },
  )
})

describe('An operation, called with its example', () => {
  let mintmark: TestService
  beforeAll(async () => {
    mintmark = await startTestService()
  })
  afterAll(() => mintmark.stop())

  it.each(operations)('$operationId', async operation => {
    const path = await place(operation.path)
    const foreign = { ...operation, path, query: '?nope=1' }
    expectDocumented(operation, await send(foreign, { headers: {} }), 401)
    expectDocumented(operation, await send(foreign), 400)
    const answer = await send({ ...operation, path })
    expect(answer.status, answer.text).toBeLessThan(300)
    expectDocumented(operation, answer, answer.status)
  })

  function send({ method, path, query, content, example }: Operation, more: RequestInit = {}) {
    const [type] = Object.keys(content ?? {})
    return request(`${mintmark.service.urls.admin}${path}${query}`, {
      method: method.toUpperCase(),
      headers: {
        authorization: `Bearer ${mintmark.rootToken}`,
        ...(type !== undefined && { 'content-type': type }),
      },
      ...(type !== undefined && { body: JSON.stringify(example) }),
      ...more,
    })
  }

  /** With existing ids in place of unpredictable ones. */
  async function place(path: string): Promise<string> {
    const { admin } = mintmark
    if (path.includes('/keys/key_')) {
      const { body } = await admin('POST', '/tenants/acme/keys', {})
      return path.replace(/key_\w+/, body.id).replace(/sec_\w+/, body.secret_id)
    }
    if (path.includes('/adm_')) {
      const { body } = await admin('POST', '/admin-tokens', { role: 'auditor' })
      return path.replace(/adm_\w+/, body.id)
    }
    if (path.includes('/signing-keys/')) {
      const { data } = (await admin('GET', '/signing-keys')).body
      const standby = data.find(({ state }: { state: string }) => state === 'standby')
      return path.replace(/[\w-]{43}/, standby.kid)
    }
    return path
  }
})

/** The document describes this status for the operation, with these headers and this body. */
function expectDocumented({ template, method, responses }: Operation, answer: JsonAnswer, expected: number) {
  const { status, headers, body, text } = answer
  const shown = `${method} ${template}: ${status} ${text}`
  expect(status, shown).toBe(expected)
  const { response, place } = responseOf(responses[status] as Response, [
    'paths',
    template,
    method,
    'responses',
    `${status}`,
  ])
  for (const [name, { $ref }] of Object.entries(response.headers)) {
    const { required } = document.components.headers[nameIn($ref)]
    if (required) expect(headers.get(name), `${shown}: ${name}`).not.toBeNull()
  }
  const [type] = Object.keys(response.content ?? {})
  if (type === undefined) return expect(text, shown).toBe('')
  expect(headers.get('content-type')?.split(';')[0], shown).toBe(type)
  const validate = validator(...place, 'content', type, 'schema')
  expect(validate(body ?? text), `${shown}\n${ajv.errorsText(validate.errors)}`).toBe(true)
}

interface Response {
  $ref?: string
  headers: Record<string, { $ref: string }>
  content?: Record<string, unknown>
}

/** The response, and its description in the document. */
function responseOf(response: Response, place: string[]): { response: Response; place: string[] } {
  if (response.$ref === undefined) return { response, place }
  const name = nameIn(response.$ref)
  return { response: document.components.responses[name], place: ['components', 'responses', name] }
}

const nameIn = (ref: string) => ref.slice(ref.lastIndexOf('/') + 1)
