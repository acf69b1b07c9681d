import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { adminRoutes } from '../../src/admin/admin-app.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { operationsIn } from './operations.ts'
import { placed } from './places.ts'

/** Every route that names an object, with one that does not exist: below another one that does, where it has two. */

const document = JSON.parse(readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8'))
const bodies = new Map(operationsIn(document).map(({ operationId, example }) => [operationId, example]))
/** A PUT creates what it names. */
const routes = adminRoutes({} as never).filter(({ path, method }) => path.includes('/:') && method !== 'put')

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
  await mintmark.admin('POST', '/tenants', { id: 'own' })
  await mintmark.admin('PUT', '/models/base', {})
})
afterAll(() => mintmark.stop())

/** Of the same form. */
const unknown = (id: string) => (/^[a-z]{3,4}_/.test(id) ? `${id.split('_')[0]}_0000000000000000` : 'nobody')

it.each(routes.map(each => [each.method.toUpperCase(), each.path, each] as const))(
  '%s %s is 404',
  async (method, path, route) => {
    const last = path.split('/').findLastIndex(part => part.startsWith(':'))
    const place = (await placed(mintmark, route, 'own')).split('/')
    const named = place.with(last, unknown(place[last] ?? '')).join('/')
    const answer = await mintmark.admin(method, named, bodies.get(route.operation))
    expect([answer.status, answer.body?.code], `${named} ${answer.text}`).toEqual([404, 'not_found'])
  },
)
