import type { Request, Response, Router } from 'express'
import type { ZodError, ZodType } from 'zod'
import type { Actor, Once } from '../audit/audit-event.ts'
import { escapePointer, type Fault, Forbidden, Invalid } from '../errors.ts'
import { mediaType, parseJson } from '../http/body.ts'
import { RequestError } from '../http/request-error.ts'
import { eventOf } from '../http/request-event.ts'
import type { AnsweredOnce } from '../idempotency/idempotency-key.ts'
import type { IdempotencyKeys } from '../idempotency/idempotency-keys.ts'
import type { Admin } from './admin-auth.ts'
import type { AdminAnswer } from './answer.ts'
import { ForeignTenant } from './foreign-tenant.ts'
import { idempotencyKeyOf, keepAnswer, repeated } from './idempotency-key-header.ts'
import { etagOf, type PreconditionHeader, preconditionOf, selected } from './preconditions.ts'
import { type InstallationRight, mayDo, type TenantRight } from './rights-table.ts'
import type { RouteDocs } from './route-docs.ts'

type Params = Record<string, string>

interface AdminRequest<Query, Body> {
  actor: Actor
  admin: Admin
  params: Params
  query: Query
  body: Body
}

/** An object of one tenant that a path names. Whoever is bound to another tenant is told that it is not there. */
export interface Target {
  /** What it is called when it is not there. */
  what: string
  /** The parameter that names it. */
  param: string
  /** Its tenant; null: of none. @throws {NotFound} */
  tenantOf: (id: string) => Promise<string | null>
}

/**
 * What a route is about, and the right that it needs. With a tenant's right a route names the object whose tenant
 * decides, or says that its handler looks at `admin.tenantId` itself; without either it does not compile.
 */
type Scope =
  | {
      right: InstallationRight /** Throws NotFound when what the path names is not there. */
      exists?: (params: Params) => Promise<unknown>
    }
  | { right: TenantRight; target: Target | 'scoped by the handler' }

/** One operation of the admin API, as a value: its place, the right that it needs, what it takes, what it does. */
export type AdminRoute<Query = unknown, Body = unknown> = Scope &
  RouteDocs & {
    method: 'get' | 'post' | 'put' | 'patch' | 'delete'
    path: string
    query?: ZodType<Query>
    body?: ZodType<Body>
    /** Its answer is one object, and the ETag is that object's version. */
    tellsVersion?: true
    /** Headers that hold the request to a version of the object that its path names. Others of them are refused. */
    preconditions?: readonly PreconditionHeader[]
    /** Its answer has a secret in it, the one time that it is seen. */
    issuesSecret?: true
    handle: (request: AdminRequest<Query, Body>) => Promise<AdminAnswer>
  }

/** Keeps the types of query and body together with the handler that gets them. */
export const route = <Query, Body>(definition: AdminRoute<Query, Body>): AdminRoute =>
  definition as unknown as AdminRoute

/** What mounting needs beside the route: `reread` shows what a request was about, as it is now; undefined: nothing that can be shown. */
export interface Mounting {
  idempotency: IdempotencyKeys
  reread: (
    definition: AdminRoute,
    params: Params,
    target: AnsweredOnce['target'],
  ) => Promise<AdminAnswer | undefined>
}

/**
 * The order of checks is the same everywhere: authentication (admin-app.ts), right, existence, query and body. A
 * request that was done before is answered after the right was checked, whatever has become of its object.
 */
export function mountRoute(router: Router, definition: AdminRoute, mounting: Mounting): void {
  router[definition.method](definition.path, async (req, res) => {
    const admin: Admin = res.locals.admin
    eventOf(res).fields.actor = admin.id
    if (!mayDo(admin.role, definition.right))
      throw new Forbidden(`Missing right: ${definition.right}. Use a token with a role that has it.`)
    const key = idempotencyKeyOf(req, admin)
    const done = key && (await mounting.idempotency.find(key))
    if (!key) return tell(req, res, await perform(definition, req, res))
    if (done) {
      // Not judged again, but whoever sends one that cannot be read is told so.
      preconditionOf(definition, req)
      res.set('Idempotency-Replayed', 'true')
      const now = () => mounting.reread(definition, req.params as Params, done.target)
      return tell(req, res, await repeated(done, definition.issuesSecret ?? false, now))
    }
    const answer = await perform(definition, req, res, mounting.idempotency.once(key))
    await keepAnswer(mounting.idempotency, key, answer)
    tell(req, res, answer)
  })
}

async function perform(
  definition: AdminRoute,
  req: Request,
  res: Response,
  once?: Once,
): Promise<AdminAnswer> {
  const admin: Admin = res.locals.admin
  const event = eventOf(res)
  const params = req.params as Params
  // Postgres takes no NUL, so a name with one can be neither looked up nor given.
  if (Object.values(params).some(value => value.includes('\0')))
    throw new RequestError(400, 'The path contains a NUL character. Remove it.')
  if (await findTarget(definition, admin, params)) Object.assign(event.fields, namedTarget(params))
  const precondition = preconditionOf(definition, req)
  const actor = {
    id: admin.id,
    requestId: event.requestId,
    ...(event.source !== undefined && { source: event.source }),
    ...(once && { once }),
    ...(precondition && { precondition }),
  }
  const query = readQuery(definition, req)
  const body = readBody(definition, req)
  const answer = await definition.handle({ actor, admin, params, query, body })
  Object.assign(event.fields, namedTarget(params))
  return precondition && definition.method === 'get' ? selected(answer, precondition) : answer
}

function tell(req: Request, res: Response, answer: AdminAnswer): void {
  const { status, location, version, headers, body, ndjson } = answer
  if (version !== undefined) res.set('ETag', etagOf(version))
  if (location !== undefined) res.location(`${req.baseUrl}${location}`)
  res.status(status).set(headers ?? {})
  if (ndjson !== undefined) {
    res.type('application/x-ndjson').send(ndjson.map(line => `${JSON.stringify(line)}\n`).join(''))
  } else if (body === undefined) res.end()
  else res.json(body)
}

/**
 * Existence, told before the body is looked at. False when the route does not ask for it.
 * @throws {NotFound} of what is not there. @throws {ForeignTenant} in the same words.
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
 * Ids in the path name the target in the log once it is known to be there. Until then they are text that a client
 * chose, and may be a secret that was put in the wrong place.
 */
const namedTarget = ({ secret, ...known }: Params) =>
  secret !== undefined && /^sec_[0-9A-Za-z]{16}$/.test(secret) ? { ...known, secret } : known

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
    // An action takes nothing; `{}` is allowed, because many clients always send a body.
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

function faultsOf(error: ZodError, what: string): Fault[] {
  return error.issues.flatMap(issue => {
    const pointer = issue.path.map(part => `/${escapePointer(String(part))}`).join('')
    if (issue.code !== 'unrecognized_keys') return [{ pointer, message: issue.message }]
    return issue.keys.map(key => ({
      pointer: `${pointer}/${escapePointer(key)}`,
      message: `is not a known ${what}`,
    }))
  })
}
