import { z } from 'zod'
import { problemBody } from '../bodies/problem-body.ts'
import { replayBodyOf } from '../bodies/replay-body.ts'
import type { AdminRoute } from '../route.ts'
import { takesSet } from '../sets/set-header.ts'
import { header } from './components.ts'
import type { JsonSchema, JsonSchemas } from './json-schema.ts'

/** The errors that a route can return, derived from its definition. */

const REASONS = {
  400: ['Invalid', 'The request is invalid. `errors` lists each invalid field and the reason.'],
  401: [
    'Unauthenticated',
    'The token is missing or invalid. Malformed, unknown, expired and revoked tokens get the same response.',
  ],
  403: [
    'Forbidden',
    'The role of the caller lacks the required right, or the change would grant more rights than the caller has.',
  ],
  404: ['NotFound', 'The object does not exist, or belongs to another tenant.'],
  412: [
    'PreconditionFailed',
    'The object no longer has the version that the request requires. Get the object again before you repeat the request.',
  ],
  413: ['TooLarge', 'The request body is too large.'],
  415: ['UnsupportedMediaType', 'The request body is not JSON in UTF-8, or it is compressed.'],
  422: [
    'KeyReused',
    'The `Idempotency-Key` was used before, for a request with another body, query or `Mintmark-Set` header.',
  ],
  429: [
    'TooManyFailures',
    'Too many failed authentications from this address, or (`too_many_writes`) too many changes by the administrators of this tenant, or (`too_many_token_revocations`) too many entries by these administrators in the list of revoked tokens. Wait as long as `Retry-After` says.',
  ],
  503: [
    'Unavailable',
    'The service is temporarily unavailable, in most cases because its database is down. Wait as long as `Retry-After` says, then repeat the request. Repeat a POST under the same `Idempotency-Key`.',
  ],
} as const satisfies Record<number, readonly [name: string, description: string]>
type Status = keyof typeof REASONS

const HEADERS: Partial<Record<Status, Record<string, object>>> = {
  401: { 'WWW-Authenticate': header('WWW-Authenticate') },
  412: { ETag: header('ETag') },
  429: { 'Retry-After': header('Retry-After') },
  503: { 'Retry-After': header('Retry-After') },
}

const problem = (description: string, schema: JsonSchema, headers: object = {}) => ({
  description,
  headers: { 'X-Request-Id': header('X-Request-Id'), ...headers },
  content: { 'application/problem+json': { schema } },
})

/** Errors that are the same for all routes, as components. */
export function sharedProblems(schemas: JsonSchemas): Record<string, object> {
  const schema = schemas.answered(problemBody)
  return Object.fromEntries(
    Object.entries(REASONS).map(([status, [name, description]]) => [
      name,
      problem(description, schema, HEADERS[Number(status) as Status]),
    ]),
  )
}

/** The error responses of a route, by status. */
export function problemsOf(route: AdminRoute, schemas: JsonSchemas): Record<string, object> {
  const changes = route.method !== 'get'
  const statuses: Status[] = [400, 401, 403, 429, 503]
  // A replay may find that its object is gone.
  const readAgain = route.method === 'post' && replayBodyOf(route)
  if (route.path.includes(':') || route.notFound || readAgain) statuses.push(404)
  if (route.preconditions) statuses.push(412)
  if (changes) statuses.push(413, 415)
  if (route.method === 'post') statuses.push(422)
  const shared = statuses.map(status => [status, { $ref: `#/components/responses/${REASONS[status][0]}` }])
  return { ...Object.fromEntries(shared), ...(changes && { 409: conflict(route, schemas) }) }
}

/** Every `code` of a 409 of this route. */
export function conflictsOf(route: AdminRoute): string[] {
  const { method, conflicts = [] } = route
  // An object named by a change may be deleted while the change waits for its lock.
  const always = method === 'post' ? ['gone', 'idempotency_key_in_flight'] : ['gone']
  const ofSets = takesSet(route) ? ['in_another_set', 'in_no_set', 'name_taken_in_set'] : []
  return [...conflicts, ...ofSets, ...always]
}

function conflict(route: AdminRoute, schemas: JsonSchemas): object {
  const codes = z.object({ code: z.enum(conflictsOf(route)).describe('Reason of the conflict.') })
  const schema = { allOf: [schemas.answered(problemBody), schemas.answered(codes)] }
  return problem(
    'The current state of the object does not allow the request. `code` names the reason.',
    schema,
  )
}
