import type { ErrorRequestHandler, Express, Request, RequestHandler, Response } from 'express'
import { Unavailable } from '../errors.ts'
import { rawBody } from '../http/body.ts'
import { type Readiness, whenReady } from '../http/health.ts'
import { eventOf } from '../http/request-context.ts'
import { RequestError, toRequestError } from '../http/request-error.ts'
import { onlyMethods } from '../http/server.ts'
import type { CheckedRequest } from './check-request.ts'
import type { Admitted, Door } from './decision.ts'
import { type Denial, denial, denialBody } from './denial.ts'
import { LONGEST_BODY_BYTES } from './headers.ts'
import { claimHeaders, REMOVED_HEADERS } from './set-headers.ts'

const CHECK = '/check'
/** For how long nginx may answer from its cache, less where the token ends sooner. */
const LONGEST_CACHED_SECONDS = 5
/** The body once more, for nginx, which hands on the headers of a refusal and not its body. */
const DENIAL_HEADER = 'X-Mintmark-Denial'

/**
 * What gateways ask over HTTP: any method on any path below /check (Envoy appends the client's path, nginx and Caddy
 * always say GET), answered 200 with the headers that go on to the engine, or 401, 403 or 503; and the list of models.
 */
export function mountGatewayRoutes(
  app: Express,
  options: { door: Door; readsBody: boolean; readiness: Readiness; now: () => number },
): void {
  const { door, readsBody, readiness, now } = options
  const ready = whenReady(readiness, reason => new Unavailable(reason))
  app.use(CHECK, ready, readsBody ? rawBody(LONGEST_BODY_BYTES) : [], check(door, now))
  app.route('/v1/models').get(ready, listOfModels(door, now)).all(onlyMethods('GET'))
  app.use((_req, _res, next) => next(new RequestError(404, `There is nothing here: ask ${CHECK}.`)))
  app.use(errorHandler)
}

function check(door: Door, now: () => number): RequestHandler {
  return async (req, res) => {
    const admitted = await admit(door, req, res)
    if (!admitted) return
    const { jwt, claims } = admitted
    const left = Math.floor(claims.exp - now() / 1000) - 1
    res.status(200).set({
      Authorization: `Bearer ${jwt}`,
      ...claimHeaders(claims),
      'X-Envoy-Auth-Headers-To-Remove': REMOVED_HEADERS.join(','),
      'X-Accel-Expires': String(Math.max(0, Math.min(LONGEST_CACHED_SECONDS, left))),
    })
    res.end()
  }
}

/** OpenAI's list, of exactly what the caller may name in `model`. */
function listOfModels(door: Door, now: () => number): RequestHandler {
  return async (req, res) => {
    const admitted = await admit(door, req, res)
    if (!admitted) return
    const { models, adapters, tenant } = admitted.claims
    const created = Math.floor(now() / 1000)
    const listed = (names: readonly string[], owner: string) =>
      names.map(id => ({ id, object: 'model', created, owned_by: owner }))
    res.json({ object: 'list', data: [...listed(models, 'mintmark'), ...listed(adapters, tenant)] })
  }
}

/** Undefined when the refusal has been sent. */
async function admit(door: Door, req: Request, res: Response): Promise<Admitted | undefined> {
  const decision = await door.decide(checkedRequest(req, eventOf(res).source))
  Object.assign(eventOf(res).fields, decision.allowed ? decision.admitted.about : decision.about)
  if (decision.allowed) return decision.admitted
  send(res, decision.denial)
  return undefined
}

function checkedRequest(req: Request, source: string | undefined): CheckedRequest {
  const { rawHeaders, originalUrl } = req
  return {
    headers: Array.from({ length: rawHeaders.length / 2 }, (_, i) => [
      rawHeaders[2 * i] ?? '',
      rawHeaders[2 * i + 1] ?? '',
    ]),
    target: originalUrl.startsWith(CHECK) ? originalUrl.slice(CHECK.length) : originalUrl,
    source,
    body: Buffer.isBuffer(req.body) ? req.body : Buffer.alloc(0),
  }
}

function send(res: Response, refusal: Denial): void {
  const event = eventOf(res)
  event.fields.error = refusal.code
  if (refusal.status === 503) event.error = refusal.cause
  const body = denialBody(refusal)
  res
    .status(refusal.status)
    .set({ ...refusal.headers, [DENIAL_HEADER]: JSON.stringify(body) })
    .json(body)
}

/** What is wrong with the request itself is 403 below /check, whatever HTTP calls it: gateways know no other refusal. */
const errorHandler: ErrorRequestHandler = (thrown, req, res, next) => {
  if (res.headersSent) return next(thrown)
  const error = toRequestError(thrown)
  if (error instanceof RequestError) {
    const refusal = denial('invalid_request', { detail: error.message })
    if (req.path === CHECK || req.path.startsWith(`${CHECK}/`)) return send(res, refusal)
    eventOf(res).fields.error = refusal.code
    return void res.status(error.status).set(error.headers).json(denialBody(refusal))
  }
  const retryAfterSeconds = error instanceof Unavailable ? error.retryAfterSeconds : 1
  send(res, denial('unavailable', { retryAfterSeconds, cause: error }))
}
