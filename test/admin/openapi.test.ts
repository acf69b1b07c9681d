import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import { EXAMPLE_JWKS } from '../../src/admin/bodies/identity-body.ts'
import { openApiDocument } from '../../src/admin/openapi/document.ts'
import { OpenApiDocument } from '../support/openapi-document.ts'
import { type JsonAnswer, request, startTestService, type TestService } from '../support/test-service.ts'
import { type Operation, operationsIn } from './operations.ts'

/** docs/openapi.json, read by third-party programs and compared with a running service. */

const document = new OpenApiDocument('openapi.json')
const routes = adminRoutes({} as never)
const operations = operationsIn(document.content)

describe('docs/openapi.json', () => {
  it('is what the routes and their schemas make (npm run generate)', () => {
    expect(document.text).toBe(`${JSON.stringify(openApiDocument(routes), null, 2)}\n`)
  })

  it('has every route, under a unique name', () => {
    expect(operations).toHaveLength(routes.length)
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(routes.length)
  })

  it('describes every property, parameter, header and response', () => {
    expect(document.undescribed()).toEqual([])
  })

  it('has an example for every body', () => {
    const lacking = operations.filter(({ content, example }) => content && example === undefined)
    expect(lacking.map(({ operationId }) => operationId)).toEqual([])
  })

  it.each(Object.entries<{ examples?: unknown[] }>(document.content.components.schemas))(
    'shows %s by an example of it',
    (name, { examples = [] }) => {
      for (const example of examples)
        expect(document.faultOf(example, ['components', 'schemas', name])).toBeUndefined()
    },
  )

  it.each(operations.filter(({ content }) => content))('$operationId has an example that fits', operation => {
    const { template, method, content = {}, example } = operation
    for (const type of Object.keys(content)) {
      const place = ['paths', template, method, 'requestBody', 'content', type, 'schema']
      expect(document.faultOf(example, place)).toBeUndefined()
    }
  })
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
    if (path.endsWith('/set-objects/rename')) {
      const object = { set: 'production', kind: 'tier', id: 'standard', name: 'standard' }
      expect((await admin('POST', '/set-objects', object)).status).toBe(200)
    }
    if (path.includes('/keys/key_')) {
      const { body } = await admin('POST', '/tenants/acme/keys', {})
      const placed = path.replace(/key_\w+/, body.id).replace(/sec_\w+/, body.secret_id)
      if (!path.includes('/crd_')) return placed
      const credential = { type: 'public_key', jwks: EXAMPLE_JWKS }
      const made = await admin('POST', `/keys/${body.id}/credentials`, credential)
      return placed.replace(/crd_\w+/, made.body.id)
    }
    if (path.includes('/idp_')) {
      const audiences = [`https://tokens.example.com/${crypto.randomUUID()}`]
      const settings = { kind: 'oidc', issuer: 'https://issuer.example.com', audiences, jwks: EXAMPLE_JWKS }
      const { body } = await admin('POST', '/identity-providers', settings)
      return path.replace(/idp_\w+/, body.id)
    }
    if (path.includes('/adm_')) {
      const { body } = await admin('POST', '/admin-tokens', { role: 'auditor' })
      return path.replace(/adm_\w+/, body.id)
    }
    if (path.includes('/rep_')) {
      const { body } = await admin('POST', '/usage-reporters', { audiences: ['vllm'] })
      if (path.endsWith('/void')) await admin('DELETE', `/usage-reporters/${body.id}`)
      return path.replace(/rep_\w+/, body.id)
    }
    if (path.includes('/trv_')) {
      const { body } = await admin('POST', '/token-revocations', { tenant: 'acme' })
      return path.replace(/trv_\w+/, body.id)
    }
    if (path.includes('/signing-keys/')) {
      const { data } = (await admin('GET', '/signing-keys')).body
      const standby = data.find(({ state }: { state: string }) => state === 'standby')
      return path.replace(/[\w-]{43}/, standby.kid)
    }
    return path
  }
})

/** The document has this status for the operation, with these headers and a body of this form. */
function expectDocumented({ template, method }: Operation, answer: JsonAnswer, expected: number) {
  const { status, headers, text } = answer
  expect(status, text).toBe(expected)
  const faults = document.faultsOf(method, template, { status, headers: Object.fromEntries(headers), text })
  expect(faults, text).toEqual([])
}
