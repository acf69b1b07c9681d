import { adminRoutes } from '../../src/admin/admin-app.ts'
import { problemBody } from '../../src/admin/bodies/problem-body.ts'
import { JsonSchemas } from '../../src/admin/openapi/json-schema.ts'
import { bodiesOf } from '../../src/admin/openapi/operation.ts'
import { conflictsOf, problemsOf } from '../../src/admin/openapi/problems.ts'
import type { AdminRoute } from '../../src/admin/route.ts'
import type { JsonAnswer } from './test-service.ts'

/** Possible statuses where no route matches. */
const WITHOUT_ROUTE = [400, 401, 404, 405, 413, 415, 429, 503]

const described = adminRoutes({} as never).map(route => ({
  route,
  bodies: bodiesOf(route),
  problems: Object.keys(problemsOf(route, new JsonSchemas())).map(Number),
}))
/** Those without parameters first, as they are mounted. */
const paths = [...Map.groupBy(described, ({ route }) => route.path)]
  .sort(([a], [b]) => Number(a.includes(':')) - Number(b.includes(':')))
  .map(([path, operations]) => ({
    pattern: new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`),
    operations,
  }))

/**
 * Checks that the document describes a response of the admin API: this status, this body, no undocumented member.
 * `path` begins after /admin/v1. @throws {Error} with the difference.
 */
export function expectDocumented(method: string, path: string, answer: JsonAnswer): void {
  const { pathname } = new URL(`http://admin${path}`)
  const operations = paths.find(({ pattern }) => pattern.test(pathname))?.operations ?? []
  const found = operations.find(({ route }) => route.method === method.toLowerCase())
  const wrong = found ? faultOf(found, answer) : faultWithoutRoute(method, answer)
  if (wrong) throw new Error(`${method} ${path}: ${answer.status} ${answer.text.slice(0, 2000)}\n${wrong}`)
}

function faultOf(
  { route, bodies, problems }: (typeof described)[number],
  answer: JsonAnswer,
): string | undefined {
  const { status, body, text } = answer
  if (status >= 400 || !(status in bodies)) {
    return problems.includes(status)
      ? problemFault(answer, route)
      : 'has no answer of this status in its description'
  }
  const expected = bodies[status]
  if (!expected) return text === '' ? undefined : 'should have no body'
  if ('csv' in expected) return text.endsWith('\r\n') ? undefined : 'should be CSV'
  const items = 'line' in expected ? lines(text) : [body]
  const schema = 'line' in expected ? expected.line : expected
  return items.flatMap(item => schema.safeParse(item).error?.message ?? []).join('\n') || undefined
}

const lines = (text: string) =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line))

function faultWithoutRoute(method: string, answer: JsonAnswer): string | undefined {
  if (method === 'HEAD') return undefined
  return WITHOUT_ROUTE.includes(answer.status)
    ? problemFault(answer)
    : 'is not an operation, and was answered'
}

function problemFault({ status, body }: JsonAnswer, route?: AdminRoute): string | undefined {
  const { error } = problemBody.safeParse(body)
  if (error) return error.message
  if (status !== 409 || !route || conflictsOf(route).includes(body.code)) return undefined
  return `has no conflict ${body.code} in its description`
}
