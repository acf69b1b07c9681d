import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import { logRequest } from '../http/access-log.ts'
import type { Trusts } from '../http/caller-address.ts'
import { notReady, type Readiness } from '../http/health.ts'
import type { NoteDuration } from '../http/request-durations.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Decision, GatewayAuthorizer } from './authorize.ts'
import type { CheckedRequest } from './check-request.ts'
import { denial, denialBody } from './denial.ts'
import { AUTHORIZATION_PROTO, type CheckRequestMessage, type CheckResponseMessage } from './grpc-proto.ts'
import { claimHeaders, REMOVED_HEADERS } from './set-headers.ts'

/** `envoy.service.auth.v3.Authorization`: the same check as over HTTP, in Envoy's messages. */
export const AUTHORIZATION_SERVICE = fromJSON(AUTHORIZATION_PROTO)[
  'envoy.service.auth.v3.Authorization'
] as ServiceDefinition

/** Label of gRPC checks in logs and metrics, where HTTP requests have a listener and a route. */
const LISTENER = 'gateway_grpc'
const ROUTE = 'Check'

export function authorizationService(parts: {
  authorizer: GatewayAuthorizer
  readiness: Readiness
  /** Proxies whose report of the client's address is trusted. */
  trusts: Trusts
  clock: Clock
  logger: Logger
  noteDuration: NoteDuration
}): UntypedServiceImplementation {
  const { authorizer, readiness, trusts, clock } = parts
  const log = { listener: LISTENER, ...parts }
  const decide = async (asked: CheckRequestMessage, source: string): Promise<Decision> => {
    const cause = notReady(readiness)
    if (!cause) return authorizer.decide(checkedRequest(asked, source))
    return { allowed: false, denial: denial('unavailable', { cause }), about: {} }
  }
  return {
    Check: (
      call: { request: CheckRequestMessage; getPeer(): string },
      answer: (error: null, response: CheckResponseMessage) => void,
    ) => {
      const started = clock.monotonicMs()
      const peer = call.getPeer().replace(/:\d+$/, '')
      const reported = call.request.attributes?.source?.address?.socketAddress?.address
      const source = reported && trusts(peer, 0) ? reported : peer
      void decide(call.request, source).then(decision => {
        const made = { method: undefined, status: statusOf(decision), answered: true, started }
        logRequest(log, eventFor(decision, source), made)
        answer(null, responseTo(decision))
      })
    },
  }
}

/** `headers` has repeats joined with a comma, which no credential contains; `header_map` has them separate. */
function checkedRequest({ attributes }: CheckRequestMessage, source: string): CheckedRequest {
  const { headers = {}, headerMap, path = '', body, rawBody } = attributes?.request?.http ?? {}
  const apart = headerMap?.headers ?? []
  return {
    headers:
      apart.length > 0
        ? apart.map(({ key = '', value, rawValue }) => [key, value || (rawValue?.toString('latin1') ?? '')])
        : Object.entries(headers),
    target: path,
    source,
    body: rawBody && rawBody.length > 0 ? rawBody : Buffer.from(body ?? ''),
  }
}

/** A denial is sent as one, even 503: Envoy would replace the body of an error. */
function responseTo(decision: Decision): CheckResponseMessage {
  if (decision.allowed) {
    const { jwt, claims } = decision.admitted
    const headers = options({ authorization: `Bearer ${jwt}`, ...claimHeaders(claims) })
    return { status: { code: status.OK }, okResponse: { headers, headersToRemove: [...REMOVED_HEADERS] } }
  }
  const refusal = decision.denial
  const code = refusal.status === 401 ? status.UNAUTHENTICATED : status.PERMISSION_DENIED
  return {
    status: { code },
    deniedResponse: {
      status: { code: refusal.status },
      headers: options({ 'content-type': 'application/json', ...refusal.headers }),
      body: JSON.stringify(denialBody(refusal)),
    },
  }
}

/** Replaces a header of the same name that the client sent. */
const options = (headers: Record<string, string>) =>
  Object.entries(headers).map(([key, value]) => ({
    header: { key, value },
    append: { value: false as const },
  }))

/** The status that the gateway's client receives. */
const statusOf = (decision: Decision) => (decision.allowed ? 200 : decision.denial.status)

/** The access log event of a check. */
function eventFor(decision: Decision, source: string) {
  const event = { source, route: ROUTE, polled: false }
  if (decision.allowed) return { ...event, fields: decision.admitted.about }
  const { code, cause } = decision.denial
  return { ...event, fields: { error: code, ...decision.about }, error: cause }
}
