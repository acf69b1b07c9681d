import type { IncomingMessage, ServerResponse } from 'node:http'
import { Unavailable } from '../errors.ts'
import { answerJson, headerList } from '../http/answer.ts'
import { readBody } from '../http/body.ts'
import type { Readiness } from '../http/health.ts'
import { HeldBytes } from '../http/held-bytes.ts'
import type { Application } from '../http/listener.ts'
import { nothingHere, RequestError, toRequestError } from '../http/request-error.ts'
import { eventOf } from '../http/request-event.ts'
import { type Handler, routeTable } from '../http/route-table.ts'
import type { RefusalReason } from '../refusal-reasons.ts'
import type { ModelFacts } from '../tenants/model.ts'
import type { Admitted, GatewayAuthorizer, Refused } from './authorize.ts'
import type { CheckedRequest } from './check-request.ts'
import { type Denial, denial, denialBody, MODEL_NOT_FOUND } from './denial.ts'
import { LONGEST_BODY_BYTES, MOST_HELD_BYTES } from './headers.ts'
import { claimHeaders, REMOVED_HEADERS } from './set-headers.ts'

const CHECK = '/check'
const MODELS = '/v1/models'
const HINT = `Use ${CHECK}`
/** Maximum time that nginx may cache an allowed check; shorter where the token expires sooner. */
const LONGEST_CACHED_SECONDS = 5
/** The body as a header, for nginx, which forwards the headers of a denial but not its body. */
const DENIAL_HEADER = 'X-Mintmark-Denial'
/** The reason, for the log of the gateway. Not on the list of models, whose answers go to the client as they are. */
const REASON_HEADER = 'X-Mintmark-Reason'
const ADMITTED = headerList({
  'Content-Length': '0',
  'X-Envoy-Auth-Headers-To-Remove': REMOVED_HEADERS.join(','),
})
/** As Anthropic's list has it for a model whose date is unknown. */
const ANTHROPIC = { type: 'model', created_at: '1970-01-01T00:00:00Z' }
const NO_BODY = Buffer.alloc(0)

/** Undefined: nothing is known of the model. */
type FactsOf = (model: string) => ModelFacts | undefined

/**
 * The check for gateways over HTTP. Any method on any path below /check (Envoy appends the client's path, nginx and
 * Caddy always send GET) is answered 200 with the headers for the engine, or 401, 403 or 503. Also serves the list of
 * models.
 */
export function gatewayApp(options: {
  authorizer: GatewayAuthorizer
  readsBody: boolean
  /** Whether denials have the exact reason, which the gateway keeps from its client, instead of the code. */
  exactReasons: boolean
  factsOf: FactsOf
  readiness: Readiness
  now: () => number
}): Application {
  const { authorizer, readsBody, exactReasons, factsOf, readiness, now } = options
  return routeTable({
    routes: [
      { path: `${CHECK}{/*}`, handle: check(authorizer, readsBody, exactReasons, now), refuse: refuseCheck },
      { methods: ['GET'], path: `${MODELS}{/*}`, handle: listOfModels(authorizer, factsOf, now) },
    ],
    readiness,
    refuse,
    hint: HINT,
  })
}

function check(
  authorizer: GatewayAuthorizer,
  readsBody: boolean,
  exactReasons: boolean,
  now: () => number,
): Handler {
  const held = new HeldBytes(MOST_HELD_BYTES)
  return async (req, res) => {
    const body = async () => (readsBody ? readBody(req, LONGEST_BODY_BYTES, held) : NO_BODY)
    const admitted = await admit(authorizer, req, res, body, ({ denial: refusal, reason }) =>
      forGateway(refusal, exactReasons ? reason : refusal.code),
    )
    if (!admitted) return
    const { jwt, claims } = admitted
    const left = Math.floor(claims.exp - now() / 1000) - 1
    res.writeHead(200, [
      ...ADMITTED,
      'X-Request-Id',
      eventOf(res).requestId,
      'Authorization',
      `Bearer ${jwt}`,
      ...Object.entries(claimHeaders(claims)).flat(),
      'X-Accel-Expires',
      String(Math.max(0, Math.min(LONGEST_CACHED_SECONDS, left))),
    ])
    res.end()
  }
}

/**
 * As vLLM's model list, which Anthropic's clients read too, with exactly the values that the caller may send as `model`. Below the
 * list each of them by its name, or 404.
 */
function listOfModels(authorizer: GatewayAuthorizer, factsOf: FactsOf, now: () => number): Handler {
  return async (req, res) => {
    const admitted = await admit(
      authorizer,
      req,
      res,
      async () => NO_BODY,
      () => ({}),
      MODELS,
    )
    if (!admitted) return
    const { models, adapters, tenant } = admitted.claims
    const created = Math.floor(now() / 1000)
    const listed = (names: readonly string[], owner: string) =>
      names.map(id => {
        const { baseModel = null, maxModelLen = null } = factsOf(id) ?? {}
        const about = { root: id, parent: baseModel, max_model_len: maxModelLen }
        return { id, object: 'model', created, owned_by: owner, ...about, ...ANTHROPIC, display_name: id }
      })
    const data = [...listed(models, 'mintmark'), ...listed(adapters, tenant)]
    const name = modelInPath(req.url ?? '')
    if (name === undefined) {
      answerJson(res, 200, JSON.stringify({ object: 'list', data, has_more: false }))
      return
    }
    if (name === '') throw nothingHere(HINT)
    // A proxy may have merged the slashes in front of a name that begins with one.
    const found = data.find(({ id }) => id === name || id === `/${name}`)
    answerJson(res, found ? 200 : 404, JSON.stringify(found ?? MODEL_NOT_FOUND))
  }
}

/** Undefined: the list. A name may be sent with its slashes encoded or not. */
function modelInPath(url: string): string | undefined {
  const [path = ''] = url.split('?', 1)
  if (path === MODELS) return undefined
  try {
    return decodeURIComponent(path.slice(MODELS.length + 1))
  } catch {
    return ''
  }
}

/** Undefined when the denial has been sent. */
async function admit(
  authorizer: GatewayAuthorizer,
  req: IncomingMessage,
  res: ServerResponse,
  body: CheckedRequest['body'],
  headersOf: (refused: Refused) => Record<string, string>,
  target = targetOf(req),
): Promise<Admitted | undefined> {
  const event = eventOf(res)
  const decision = await authorizer.decide(checkedRequest(req, target, event.source, body))
  Object.assign(event.fields, decision.allowed ? decision.admitted.about : decision.about)
  if (decision.allowed) return decision.admitted
  send(res, decision.denial, decision.reason, headersOf(decision))
  return undefined
}

/** What the client asked the gateway for. */
function targetOf({ url = '' }: IncomingMessage): string {
  return url.startsWith(CHECK) ? url.slice(CHECK.length) : url
}

function checkedRequest(
  { rawHeaders }: IncomingMessage,
  target: string,
  source: string | undefined,
  body: CheckedRequest['body'],
): CheckedRequest {
  const headers: [string, string][] = []
  for (let index = 0; index < rawHeaders.length; index += 2)
    headers.push([rawHeaders[index] ?? '', rawHeaders[index + 1] ?? ''])
  return { headers, target, source, body }
}

function send(
  res: ServerResponse,
  refusal: Denial,
  reason: RefusalReason,
  more: Record<string, string> = {},
): void {
  const event = eventOf(res)
  event.fields.error = refusal.code
  event.fields.reason = reason
  if (refusal.status === 503) event.error = refusal.cause
  const body = JSON.stringify(denialBody(refusal))
  answerJson(res, refusal.status, body, headerList({ ...refusal.headers, ...more }))
}

/** What a gateway reads of a denied check, and keeps from its client. */
const forGateway = (refusal: Denial, reason: string) => ({
  [DENIAL_HEADER]: JSON.stringify(denialBody(refusal)),
  [REASON_HEADER]: reason,
})

/** A malformed request is 403 here, whatever its HTTP status: gateways handle no other denial. */
function refuseCheck(thrown: unknown, res: ServerResponse): void {
  const error = toRequestError(thrown)
  if (error instanceof RequestError) {
    const refusal = denial('invalid_request', { detail: error.message })
    send(res, refusal, 'invalid_request', forGateway(refusal, 'invalid_request'))
    return
  }
  const refusal = unavailable(error)
  send(res, refusal, 'unavailable', forGateway(refusal, 'unavailable'))
}

const unavailable = (error: unknown) =>
  denial('unavailable', {
    retryAfterSeconds: error instanceof Unavailable ? error.retryAfterSeconds : 1,
    cause: error,
  })

/** On other routes it has its own HTTP status. */
function refuse(thrown: unknown, res: ServerResponse): void {
  const error = toRequestError(thrown)
  if (!(error instanceof RequestError)) {
    send(res, unavailable(error), 'unavailable')
    return
  }
  const refusal = denial('invalid_request', { detail: error.message })
  Object.assign(eventOf(res).fields, { error: refusal.code, reason: refusal.code })
  answerJson(res, error.status, JSON.stringify(denialBody(refusal)), headerList(error.headers))
}
