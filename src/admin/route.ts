import type { Request, Response, Router } from 'express'
import type { ZodError, ZodType } from 'zod'
import { type Actor, inTurn, type Once } from '../audit/audit-event.ts'
import type { Handle } from '../database/database.ts'
import { escapePointer, type Fault, Forbidden, Invalid } from '../errors.ts'
import { mediaType, parseJson } from '../http/body.ts'
import { RequestError } from '../http/request-error.ts'
import { eventOf } from '../http/request-event.ts'
import type { AnsweredOnce } from '../idempotency/idempotency-key.ts'
import type { IdempotencyKeys } from '../idempotency/idempotency-keys.ts'
import type { SetObjects } from '../sets/set-objects.ts'
import type { Admin } from './admin-auth.ts'
import type { AdminAnswer } from './answer.ts'
import { ForeignTenant } from './foreign-tenant.ts'
import { idempotencyKeyOf, keepAnswer, repeated } from './idempotency-key-header.ts'
import { etagOf, type PreconditionHeader, preconditionOf, selected } from './preconditions.ts'
import { type InstallationRight, mayDo, type TenantRight } from './rights-table.ts'
import type { RouteDocs } from './route-docs.ts'
import { membershipOf, namedObject } from './sets/set-header.ts'
import type { WriteLimit } from './write-limit.ts'

type Params = Record<string, string>

interface AdminRequest<Query, Body> {
  actor: Actor
  admin: Admin
  params: Params
  query: Query
  body: Body
}

/** An object of one tenant named by a path. Answered 404 to administrators of other tenants. */
export interface Target {
  /** Its name in a 404. */
  what: string
  /** The path parameter with its id. */
  param: string
  /** Its tenant; null: none. @throws {NotFound} */
  tenantOf: (id: string) => Promise<string | null>
}

/**
 * The right that a route requires, and the object it applies to. With a tenant right, a route names the object whose
 * tenant decides, or declares that its handler checks `admin.tenantId`; without either it does not compile.
 */
type Scope =
  | {
      right: InstallationRight /** Throws NotFound when the object named by the path does not exist. */
      exists?: (params: Params) => Promise<unknown>
    }
  | { right: TenantRight; target: Target | 'scoped by the handler' }

/** One operation of the admin API, as a value: method, path, required right, input, handler. */
export type AdminRoute<Query = unknown, Body = unknown> = Scope &
  RouteDocs & {
    method: 'get' | 'post' | 'put' | 'patch' | 'delete'
    path: string
    query?: ZodType<Query>
    body?: ZodType<Body>
    /** The response is one object, with its version as the ETag. */
    tellsVersion?: true
    /** Precondition headers on the version of the object in the path. Others are rejected. */
    preconditions?: readonly PreconditionHeader[]
    /** The response contains a secret, which is shown only once. */
    issuesSecret?: true
    handle: (request: AdminRequest<Query, Body>) => Promise<AdminAnswer>
  }

/** Keeps the types of query and body together with the handler that receives them. */
export const route = <Query, Body>(definition: AdminRoute<Query, Body>): AdminRoute =>
  definition as unknown as AdminRoute

/**
 * Dependencies of mounting. `reread` returns the current state of the object of a request; undefined: it cannot be
 * shown. `hold` is `Actor.hold` for an admin token.
 */
export interface Mounting {
  idempotency: IdempotencyKeys
  writeLimit: WriteLimit
  reread: (
    definition: AdminRoute,
    params: Params,
    target: AnsweredOnce['target'],
  ) => Promise<AdminAnswer | undefined>
  hold: (trx: Handle, tokenId: string) => Promise<void>
  sets: SetObjects
}

/**
 * Checks run in the same order everywhere: authentication (admin-app.ts), right, write limit, existence, query and body. A replay is
 * answered after the check of the right, whatever the state of its object.
 */
export function mountRoute(router: Router, definition: AdminRoute, mounting: Mounting): void {
  router[definition.method](definition.path, async (req, res) => {
    const admin: Admin = res.locals.admin
    eventOf(res).fields.actor = admin.id
    if (!mayDo(admin.role, definition.right))
      throw new Forbidden(`Missing right: ${definition.right}. Use a token with a role that has it.`)
    await mounting.writeLimit.count(admin, definition)
    const key = idempotencyKeyOf(req, admin)
    const done = key && (await mounting.idempotency.find(key))
    if (!key) return send(req, res, await perform(definition, mounting, req, res))
    if (done) {
      // Preconditions of a replay are not evaluated again, but malformed ones are still rejected.
      preconditionOf(definition, req)
      res.set('Idempotency-Replayed', 'true')
      const now = () => mounting.reread(definition, req.params as Params, done.target)
      return send(req, res, await repeated(done, definition.issuesSecret ?? false, now))
    }
    const answer = await perform(definition, mounting, req, res, mounting.idempotency.once(key))
    await keepAnswer(mounting.idempotency, key, answer)
    send(req, res, answer)
  })
}

async function perform(
  definition: AdminRoute,
  { hold, sets }: Mounting,
  req: Request,
  res: Response,
  once?: Once,
): Promise<AdminAnswer> {
  const admin: Admin = res.locals.admin
  const event = eventOf(res)
  const params = req.params as Params
  // Postgres cannot store NUL, so no object has such a name.
  if (Object.values(params).some(value => value.includes('\0')))
    throw new RequestError(400, 'The path contains a NUL character. Remove it.')
  if (await findTarget(definition, admin, params)) Object.assign(event.fields, namedTarget(params))
  const precondition = preconditionOf(definition, req)
  const membership = membershipOf(definition, req, admin.role)
  const member = membership && sets.membership(admin.id, membership, namedObject(definition, params))
  const actor = {
    id: admin.id,
    ...(admin.tenantId !== null && { tenantId: admin.tenantId }),
    requestId: event.requestId,
    ...(event.source !== undefined && { source: event.source }),
    ...((once || member) && { once: inTurn(once, member) }),
    ...(admin.role !== 'root' && { hold: (trx: Handle) => hold(trx, admin.id) }),
    ...(precondition && { precondition }),
  }
  const query = readQuery(definition, req)
  const body = readBody(definition, req)
  const answer = await definition.handle({ actor, admin, params, query, body })
  Object.assign(event.fields, namedTarget(params))
  return precondition && definition.method === 'get' ? selected(answer, precondition) : answer
}

function send(req: Request, res: Response, answer: AdminAnswer): void {
  const { status, location, version, headers, body, ndjson, csv } = answer
  if (version !== undefined) res.set('ETag', etagOf(version))
  if (location !== undefined) res.location(`${req.baseUrl}${location}`)
  res.status(status).set(headers ?? {})
  if (ndjson !== undefined) {
    res.type('application/x-ndjson').send(ndjson.map(line => `${JSON.stringify(line)}\n`).join(''))
  } else if (csv !== undefined) res.type('text/csv').send(csv)
  else if (body === undefined) res.end()
  else res.json(body)
}

/**
 * Checks existence before the body is read. False when the route does not require it.
 * @throws {NotFound} for a missing object. @throws {ForeignTenant} with the same message.
 */
async function findTarget(route: AdminRoute, admin: Admin, params: Params): Promise<boolean> {
  if ('exists' in route) return (await route.exists?.(params)) !== undefined
  if (!('target' in route) || typeof route.target === 'string') return false
  const { what, param, tenantOf } = route.target
  const id = params[param] ?? ''
  const tenantId = await tenantOf(id)
  if (admin.tenantId !== null && tenantId !== admin.tenantId) throw new ForeignTenant(what, id)
  return true
}

/**
 * Ids in the path are logged once their object is known to exist. Before that they are client-chosen text, and may be a
 * secret in the wrong place.
 */
const namedTarget = ({ secret, credential, ...known }: Params) => ({
  ...known,
  ...(/^sec_[0-9A-Za-z]{16}$/.test(secret ?? '') && { secret }),
  ...(/^crd_[0-9A-Za-z]{16}$/.test(credential ?? '') && { credential }),
})

function readQuery(definition: AdminRoute, req: Request): unknown {
  const query = { ...(req.query as Record<string, unknown>) }
  if (definition.query) return validated(definition.query, query, 'query parameter')
  const [unknown] = Object.keys(query)
  if (unknown === undefined) return undefined
  throw new Invalid([
    {
      pointer: `/${escapePointer(unknown)}`,
      message: 'is not a known query parameter: this operation has none',
    },
  ])
}

function readBody(definition: AdminRoute, req: Request): unknown {
  const empty = !Buffer.isBuffer(req.body) || req.body.length === 0
  if (!definition.body) {
    // An action takes no body; `{}` is allowed, because many clients always send one.
    if (empty || req.body.toString('utf8').trim() === '{}') return undefined
    throw new Invalid([{ pointer: '', message: 'Unexpected body: this operation has none' }])
  }
  if (empty && definition.body.safeParse({}).success) return validated(definition.body, {}, 'field')
  const type = mediaType(req.headers['content-type'])
  const accepted =
    definition.method === 'patch'
      ? ['application/json', 'application/merge-patch+json']
      : ['application/json']
  if (!accepted.includes(type))
    throw new RequestError(415, `Unsupported Content-Type. Send ${accepted.join(' or ')}, in UTF-8.`)
  return validated(definition.body, parseJson(req.body), 'field')
}

function validated<T>(schema: ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new Invalid(faultsOf(result.error, what))
}

/** A body may have thousands of faults. The first ones show what is wrong with it. */
const MOST_FAULTS = 100

function faultsOf(error: ZodError, what: string): Fault[] {
  const faults = error.issues.slice(0, MOST_FAULTS).flatMap(issue => {
    const pointer = issue.path.map(part => `/${escapePointer(String(part))}`).join('')
    if (issue.code !== 'unrecognized_keys') return [{ pointer, message: issue.message }]
    return issue.keys.slice(0, MOST_FAULTS).map(key => ({
      pointer: `${pointer}/${escapePointer(key)}`,
      message: `is not a known ${what}`,
    }))
  })
  return faults.slice(0, MOST_FAULTS)
}
