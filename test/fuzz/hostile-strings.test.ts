import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ZodObject } from 'zod'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import { EXAMPLE_JWKS } from '../../src/admin/bodies/identity-body.ts'
import type { AdminRoute } from '../../src/admin/route.ts'
import { placed } from '../admin/places.ts'
import { expectNoFault, faultsIn } from '../support/hostile-input.ts'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'

/**
 * Hostile text in every field and query parameter of every route, from the schemas: stored unchanged, or rejected by
 * name.
 */

const HOSTILE: Record<string, string> = {
  bidi: '\u202Egnp.exe\u202C\u2066',
  'invisible characters': 'a\u200Bb\uFEFF\u2028',
  'a NUL': 'a\0b',
  'a lone surrogate': 'a\uD800b',
  SQL: "'); DROP TABLE tenants; --",
  HTML: '<img src=x onerror=alert(1)>"&',
  'the prototype': '__proto__',
  constructor: 'constructor',
}

let mintmark: TestService
let admin: TestService['admin']
let provider: string
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
  await admin('PUT', '/models/base', {})
  const settings = {
    kind: 'oidc',
    issuer: 'https://issuer.example.com',
    audiences: ['x'],
    jwks: EXAMPLE_JWKS,
  }
  provider = (await admin('POST', '/identity-providers', settings)).body.id
})
afterAll(() => mintmark.stop())

const routes = adminRoutes({} as never)
const nameOf = ({ method, path }: AdminRoute) => `${method.toUpperCase()} ${path}`
/** The fields of an object, or of all objects of a union. */
function shapeOf(schema: unknown): string[] {
  const { shape = {}, options = [] } = (schema ?? {}) as Partial<ZodObject> & { options?: unknown[] }
  return [...new Set([...Object.keys(shape), ...options.flatMap(shapeOf)])]
}

/** One that was not used for another field. */
const tenant = async () => (await mintmark.tenantWithKey()).tenantId
/** The path of a route: where it has parameters, with objects that were not used for another field. */
const placeOf = async (definition: AdminRoute) =>
  definition.path.includes(':') ? placed(mintmark, definition, await tenant()) : definition.path

/** The other required fields of a body, so that only the field under test can be wrong. */
let count = 0
const REQUIRED: Record<string, () => object> = {
  'POST /tenants': () => ({ id: `made-${++count}` }),
  'POST /admin-tokens': () => ({ role: 'auditor' }),
  'POST /token-revocations': () => ({ jti: `made-${++count}` }),
  'POST /keys/revoke': () => ({ filter: { label: 'nobody=has-this' } }),
  'POST /identity-providers': () => ({
    kind: 'oidc',
    issuer: 'https://issuer.example.com',
    audiences: [`https://tokens.example.com/${++count}`],
    jwks: EXAMPLE_JWKS,
  }),
  'POST /identity-providers/explain': () => ({ assertion: 'x' }),
  'POST /explain': () => ({ credential: 'x' }),
  'POST /keys/:id/credentials': () => ({ type: 'federated', provider, subject: 'robot' }),
  'POST /tenants/:tenant/workload-keys': () => ({ credential: { type: 'public_key', jwks: EXAMPLE_JWKS } }),
  'POST /set-objects': () => ({ set: 'production', kind: 'tier', id: 'batch', name: 'batch' }),
  'POST /set-objects/rename': () => ({ from: 'production', to: 'production' }),
  'POST /usage-reporters': () => ({ audiences: ['vllm'] }),
  'POST /usage-reporters/:id/void': () => ({ since: '2026-11-01T00:00:00Z', reason: 'stolen' }),
  'PUT /tiers/:name': () => ({ priority: 1 }),
  'PUT /adapters/:name': () => ({ base_model: 'base' }),
}
/** Each text as a value; some also as an entry of a list, and as a member's value and name. */
const FORMS: string[] = [
  ...Object.values(HOSTILE).map(text => JSON.stringify(text)),
  ...['a NUL', 'the prototype'].flatMap(name => {
    const text = JSON.stringify(HOSTILE[name])
    return [`[${text}]`, `{"a":${text}}`, `[{${text}:${text}}]`]
  }),
]

function expectStoredOrRefused(answer: JsonAnswer, field: string, sent: string): void {
  const { status, text, body } = answer
  const shown = `${sent.slice(0, 100)}: ${status} ${text.slice(0, 300)}`
  expectNoFault(answer)
  if (status === 400) {
    const faults = body.errors as { pointer: string; message: string }[]
    expect(
      faults.some(({ pointer }) => pointer.startsWith(`/${field}`)),
      shown,
    ).toBe(true)
  }
  // Stored unchanged: the response has what was sent.
  const value = status < 300 && body && field in body ? body[field] : undefined
  if (typeof value === 'string' && sent.startsWith('"')) expect(JSON.stringify(value), shown).toBe(sent)
}

const bodied = routes.filter(({ body, method }) => body && method !== 'get')
describe.each(bodied.map(definition => [nameOf(definition), definition] as const))(
  '%s',
  (name, definition) => {
    it.each(shapeOf(definition.body))(
      'stores hostile text in %s unchanged, or rejects it by name',
      async field => {
        const place = await placeOf(definition)
        for (const form of FORMS) {
          const rest = Object.entries(REQUIRED[name]?.() ?? {}).filter(([other]) => other !== field)
          const members = [
            ...rest.map(([other, value]) => `"${other}":${JSON.stringify(value)}`),
            `"${field}":${form}`,
          ]
          const answer = await admin(definition.method.toUpperCase(), place, `{${members.join()}}`)
          expectStoredOrRefused(answer, field, form)
        }
      },
    )

    it('refuses a megabyte, in whatever field it is', async () => {
      const answer = await admin(
        definition.method.toUpperCase(),
        await placeOf(definition),
        `{"name":"${'x'.repeat(1_048_576)}"}`,
      )
      expectNoFault(answer)
      expect([400, 413]).toContain(answer.status)
    })
  },
)

const asked = routes.filter(({ query, method }) => query && method === 'get')
describe.each(asked.map(definition => [nameOf(definition), definition] as const))('%s', (_, definition) => {
  it.each(shapeOf(definition.query))(
    'answers hostile text in ?%s, or rejects it by name',
    async parameter => {
      const place = await placeOf(definition)
      for (const text of Object.values(HOSTILE)) {
        const escaped = encodeURIComponent(text.toWellFormed())
        expectStoredOrRefused(await admin('GET', `${place}?${parameter}=${escaped}`), parameter, escaped)
      }
    },
  )
})

describe('Labels', () => {
  it('keep every accepted text unchanged', async () => {
    const place = `/tenants/${await tenant()}`
    const texts = Object.entries(HOSTILE).filter(([name]) => !/NUL|surrogate/.test(name))
    for (const [, text] of texts) {
      const { status, body } = await admin('PATCH', place, {
        labels: { hostile: text },
        name: text,
        description: text,
      })
      expect([status, body.labels.hostile, body.name, body.description]).toEqual([200, text, text, text])
      expect((await admin('GET', place)).body).toMatchObject({
        name: text,
        description: text,
        labels: { hostile: text },
      })
    }
  })
})

it('afterwards no error was logged, every table exists, and no prototype has changed', async () => {
  expect(faultsIn(mintmark.logs)).toEqual([])
  expect((await admin('GET', `/tenants/${await tenant()}`)).status).toBe(200)
  expect(({} as { a?: string }).a).toBeUndefined()
})
