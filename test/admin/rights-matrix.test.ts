import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import { ok } from '../../src/admin/answer.ts'
import { type AdminRoute, route } from '../../src/admin/route.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { type Caller, type IssuedRole, issue, ROLES } from './admins.ts'
import { placed } from './places.ts'

/** Every route of the admin API, from the table that mounts them, for every role, on its own tenant and on another. */

/** As documented (docs/guides/administration.md), repeated here on purpose. */
const RIGHTS: Record<string, readonly IssuedRole[]> = {
  'caller:read': ['owner', 'operator', 'auditor', 'tenant-admin'],
  'tenants:read': ['owner', 'operator', 'auditor', 'tenant-admin'],
  'tenants:write': ['owner', 'operator'],
  'keys:read': ['owner', 'operator', 'auditor', 'tenant-admin'],
  'keys:write': ['owner', 'operator', 'tenant-admin'],
  'keys:enable': ['owner', 'operator'],
  'catalogue:read': ['owner', 'operator', 'auditor'],
  'catalogue:write': ['owner', 'operator'],
  'signing-keys:read': ['owner', 'operator', 'auditor'],
  'signing-keys:rotate': ['owner', 'operator'],
  'signing-keys:revoke': ['owner', 'operator'],
  'signing-keys:rewrap': ['owner', 'operator'],
  'installation:read': ['owner', 'operator', 'auditor'],
  'installation:write': ['owner'],
  'clients:import': ['owner', 'operator'],
  'identity-providers:read': ['owner', 'operator', 'auditor'],
  'identity-providers:write': ['owner', 'operator'],
  'audit:read': ['owner', 'operator', 'auditor'],
  'audit:export': ['owner', 'operator', 'auditor'],
  'usage:read': ['owner', 'operator', 'auditor', 'tenant-admin'],
  'usage-reporters:read': ['owner', 'operator', 'auditor'],
  'usage-reporters:write': ['owner', 'operator'],
  'sets:read': ['owner', 'operator', 'auditor'],
  'sets:write': ['owner', 'operator'],
  'admin-tokens:read': ['owner', 'auditor', 'tenant-admin'],
  'admin-tokens:write': ['owner', 'tenant-admin'],
  'token-revocations:read': ['owner', 'operator', 'auditor', 'tenant-admin'],
  'token-revocations:write': ['owner', 'operator', 'tenant-admin'],
  'gateways:read': ['owner', 'operator', 'auditor'],
}

const routes = adminRoutes({} as never)
const nameOf = ({ method, path }: AdminRoute) => `${method.toUpperCase()} ${path}`

let mintmark: TestService
const callers = new Map<IssuedRole | 'root', Caller>()
beforeAll(async () => {
  mintmark = await startTestService()
  // With a live key, so that deleting it is a conflict.
  for (const id of ['own', 'foreign']) await mintmark.tenantWithKey({ id })
  await mintmark.admin('PUT', '/models/base', {})
  for (const role of ROLES) {
    callers.set(role, await issue(mintmark, role, role === 'tenant-admin' ? 'own' : null))
  }
  callers.set('root', { id: 'root', secret: mintmark.rootToken, call: mintmark.admin })
})
afterAll(() => mintmark.stop())

/** For comparisons: the response without what differs each time. */
const anonymous = (text: string, id: string) =>
  text.replaceAll(id, '…').replaceAll(/"request_id":"[^"]*"/g, '')

describe.each(routes.map(definition => [nameOf(definition), definition] as const))('%s', (_, definition) => {
  const { method, path } = definition
  const boundRoute = 'target' in definition && typeof definition.target === 'object'
  /** A refusal leaves the objects as they are: the same ones for each. */
  const places = new Map<string, Promise<string>>()
  const unchanged = (tenant: string) => {
    const place = places.get(tenant) ?? placed(mintmark, definition, tenant)
    places.set(tenant, place)
    return place
  }

  it('names a documented right', () => {
    expect(Object.keys(RIGHTS)).toContain(definition.right)
  })

  it('is 401 without a token, wherever it points', async () => {
    const place = await unchanged('own')
    const answer = await mintmark.admin(method.toUpperCase(), place, undefined, { authorization: '' })
    expect(answer).toMatchObject({ status: 401, body: { code: 'unauthenticated' } })
  })

  it.each(['root', ...ROLES] as const)('as %s', async role => {
    const caller = callers.get(role) as Caller
    const allowed = role === 'root' || RIGHTS[definition.right]?.includes(role)
    for (const tenant of ['own', 'foreign']) {
      const isHidden = role === 'tenant-admin' && tenant === 'foreign' && boundRoute
      const place = await (allowed && !isHidden ? placed(mintmark, definition, tenant) : unchanged(tenant))
      const answer = await caller.call(method.toUpperCase(), place)
      const shown = `${method} ${place}: ${answer.status} ${answer.text}`
      if (!allowed) {
        expect(answer.status, shown).toBe(403)
        expect(answer.body.detail, shown).toBe(
          `Missing right: ${definition.right}. Use a token with a role that has it.`,
        )
      } else if (isHidden) {
        expect(answer.status, shown).toBe(404)
        const [id = ''] = place.split('/').filter(part => /^(foreign$|key_|adm_|trv_)/.test(part))
        const missing = id === 'foreign' ? 'nobody' : `${id.slice(0, 4)}${'0'.repeat(16)}`
        const nothing = await caller.call(method.toUpperCase(), place.replace(id, missing))
        expect(anonymous(answer.text, id)).toBe(anonymous(nothing.text, missing))
      } else {
        expect([401, 403, 404], shown).not.toContain(answer.status)
        expect(answer.status, shown).toBeLessThan(500)
      }
    }
  })

  it('shows a tenant-admin nothing of another tenant', async () => {
    if (method !== 'get' || path.includes(':')) return
    const answer = await (callers.get('tenant-admin') as Caller).call('GET', `${path}`)
    if (answer.status === 200) expect(answer.text).not.toContain('foreign')
    else expect(answer.status).toBe(403)
  })
})

describe('A route without a right', () => {
  it('does not compile, nor does one with a tenant right and no tenant', () => {
    const nothing = { method: 'get', path: '/nothing', handle: async () => ok({}) } as const
    const described = { ...nothing, operation: 'getNothing', summary: 'Get nothing', answers: {} }
    route({ ...described, right: 'catalogue:read' })
    // @ts-expect-error: a right is missing
    route(described)
    // @ts-expect-error: the tenant is missing
    route({ ...described, right: 'keys:read' })
    // @ts-expect-error: there is no such right
    route({ ...described, right: 'everything' })
    // @ts-expect-error: the documentation is missing
    route({ ...nothing, right: 'catalogue:read' })
  })

  it('is not among the mounted ones', () => {
    expect(routes.length).toBeGreaterThan(30)
    expect(routes.filter(({ right }) => !right)).toEqual([])
  })
})

it('docs/guides/administration.md has this table', async () => {
  const guide = await readFile(new URL('../../docs/guides/administration.md', import.meta.url), 'utf8')
  const rows = [...guide.matchAll(/^\| `([a-z-]+:[a-z]+)`.*?\| (.*) \|$/gm)]
  const written = rows.map(([, right = '', cells = '']) => [
    right,
    ROLES.filter((_, index) => (cells.split('|')[index] ?? '').trim() !== ''),
  ])
  expect(Object.fromEntries(written)).toEqual(RIGHTS)
})
