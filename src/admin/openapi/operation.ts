import { type ZodType, z } from 'zod'
import { repeatedBody } from '../bodies/problem-body.ts'
import { replayBodyOf } from '../bodies/replay-body.ts'
import { type Right, rolesWith } from '../rights-table.ts'
import type { AdminRoute } from '../route.ts'
import type { Csv, Lines } from '../route-docs.ts'
import { SET_HEADER, takesSet } from '../sets/set-header.ts'
import { header, parameter } from './components.ts'
import type { JsonSchema, JsonSchemas } from './json-schema.ts'
import { pathParameters } from './path-parameters.ts'
import { problemsOf } from './problems.ts'

/** The object of a right: operations are grouped by it. */
export const groupOf = (right: Right): string => right.slice(0, right.indexOf(':'))

/** `/keys/:id` as OpenAPI writes it. */
export const templateOf = (path: string): string => path.replaceAll(/:(\w+)/g, '{$1}')

/** One route as an OpenAPI operation object. */
export function operationOf(route: AdminRoute, schemas: JsonSchemas): object {
  const { operation, summary, details, right } = route
  const roles = ['root', ...rolesWith(right)].join(', ')
  const needed = `Required right: \`${right}\`. Roles with this right: ${roles}.`
  return {
    operationId: operation,
    tags: [groupOf(right)],
    summary,
    description: details === undefined ? needed : `${details}\n\n${needed}`,
    'x-required-right': right,
    ...given('parameters', parametersOf(route, schemas)),
    ...(route.body && { requestBody: requestBody(route, route.body, schemas) }),
    responses: { ...answersOf(route, schemas), ...problemsOf(route, schemas) },
  }
}

const given = (name: string, list: readonly object[]) => (list.length > 0 ? { [name]: list } : {})

function parametersOf(route: AdminRoute, schemas: JsonSchemas): object[] {
  const inPath = pathParameters(route.path).map(({ name, description, schema, example }) => ({
    name,
    in: 'path',
    required: true,
    description,
    schema: schemas.sent(schema),
    example,
  }))
  const headers = [
    ...(route.method === 'post' ? ['Idempotency-Key'] : []),
    ...(route.preconditions ?? []),
    ...(takesSet(route) ? [SET_HEADER] : []),
  ]
  return [...inPath, ...queryParameters(route, schemas), ...headers.map(parameter)]
}

function queryParameters(route: AdminRoute, schemas: JsonSchemas): object[] {
  if (!route.query) return []
  const { properties = {}, required = [] } = schemas.sent(route.query) as {
    properties?: Record<string, JsonSchema>
    required?: string[]
  }
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    ...(required.includes(name) && { required: true }),
    ...(description !== undefined && { description }),
    schema,
    ...(route.example?.query?.[name] !== undefined && {
      example: exampleIn(schema, route.example.query[name]),
    }),
  }))
}

/** Query values are text on the wire; the document shows the value that the text represents. */
const exampleIn = ({ type }: JsonSchema, text: string): unknown =>
  type === 'integer' || type === 'boolean' ? JSON.parse(text) : text

function requestBody(route: AdminRoute, body: ZodType, schemas: JsonSchemas): object {
  const schema = schemas.sent(body)
  const media = { schema, ...(route.example?.body !== undefined && { example: route.example.body }) }
  const types =
    route.method === 'patch' ? ['application/merge-patch+json', 'application/json'] : ['application/json']
  return {
    required: !body.safeParse({}).success,
    content: Object.fromEntries(types.map(type => [type, media])),
  }
}

function answersOf(route: AdminRoute, schemas: JsonSchemas): Record<string, object> {
  return Object.fromEntries(
    Object.entries(bodiesOf(route)).map(([status, body]) => [
      status,
      {
        description: descriptionOf(route, status),
        headers: headersOf(route, status),
        ...(body !== null && { content: contentOf(body, schemas) }),
      },
    ]),
  )
}

const DESCRIPTIONS: Record<string, string> = {
  200: 'The request succeeded.',
  201: 'The object was created.',
  204: 'The object was deleted.',
  304: 'The object still has the version named in `If-None-Match`.',
}
const ANSWER_LOST =
  'Only for a repeated request (same `Idempotency-Key`). The request was executed before, but the service stopped before it stored the response.'

const descriptionOf = ({ method, answers }: AdminRoute, status: string) =>
  method === 'post' && !(status in answers) ? ANSWER_LOST : DESCRIPTIONS[status]

const contentOf = (body: ZodType | Lines | Csv, schemas: JsonSchemas) =>
  'csv' in body
    ? { 'text/csv': { schema: { type: 'string' } } }
    : 'line' in body
      ? { 'application/x-ndjson': { schema: { type: 'string' }, 'x-line': schemas.answered(body.line) } }
      : { 'application/json': { schema: schemas.answered(body) } }

/**
 * The bodies of a route's successful responses; null: none. Includes the replay of a POST whose stored response is
 * missing because the process crashed between commit and response.
 */
export function bodiesOf(route: AdminRoute): Record<string, ZodType | Lines | Csv | null> {
  const { method, answers, preconditions } = route
  const revalidates = method === 'get' && preconditions?.includes('If-None-Match')
  if (method !== 'post') return { ...answers, ...(revalidates && { 304: null }) }
  const usual = answers[200]
  const remains = replayBodyOf(route)
  if (remains) return { ...answers, 200: usual ?? remains }
  return {
    ...answers,
    200: usual && !('line' in usual) && !('csv' in usual) ? z.union([usual, repeatedBody]) : repeatedBody,
  }
}

function headersOf(route: AdminRoute, status: string): object {
  const { method, tellsVersion, answers } = route
  const names = ['X-Request-Id']
  if (status === '201') names.push('Location')
  if (tellsVersion) names.push('ETag')
  if (method === 'post') names.push('Idempotency-Replayed')
  if (Object.values(answers).some(body => body && 'line' in body)) names.push('Link')
  return Object.fromEntries(names.map(name => [name, header(name)]))
}
