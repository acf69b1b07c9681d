import { logRequest, type NoteRefusal } from '../http/access-log.ts'
import type { Trusts } from '../http/caller-address.ts'
import { type GrpcMessages, STATUS } from '../http/grpc-call.ts'
import type { GrpcHandler } from '../http/grpc-listener.ts'
import { notReady, type Readiness } from '../http/health.ts'
import { HeldBytes } from '../http/held-bytes.ts'
import { UnreadableMessage } from '../http/protobuf.ts'
import type { NoteDuration } from '../http/request-durations.ts'
import type { Clock } from '../system/clock.ts'
import type { Logger } from '../system/logger.ts'
import type { Random } from '../system/random.ts'
import type { Decision, GatewayAuthorizer } from './authorize.ts'
import { type CheckRequestMessage, deniedResponse, okResponse, readCheckRequest } from './check-message.ts'
import type { CheckedRequest } from './check-request.ts'
import { denial, denialBody } from './denial.ts'
import { dynamicMetadata, structMessage } from './dynamic-metadata.ts'
import { LONGEST_BODY_BYTES, MOST_HELD_BYTES } from './headers.ts'
import { claimHeaders, REMOVED_HEADERS } from './set-headers.ts'

const PERMISSION_DENIED = 7
const UNAUTHENTICATED = 16

/** Label of gRPC checks in logs and metrics, where HTTP requests have a listener and a route. */
const LISTENER = 'gateway_grpc'
const ROUTE = 'Check'

/** Headers alone: Envoy passes on at most 60 KiB of them, once or twice, and at most 100 names. */
const LONGEST_MESSAGE_BYTES = 131_072

/** The bounds of the messages of checks. `readsBody`: they bring the body that the model is in. */
export const checkMessages = (readsBody: boolean): GrpcMessages => ({
  longest: readsBody ? LONGEST_BODY_BYTES + LONGEST_MESSAGE_BYTES : LONGEST_MESSAGE_BYTES,
  held: new HeldBytes(MOST_HELD_BYTES),
  packed: false,
})

/** `envoy.service.auth.v3.Authorization`: the same check as over HTTP, in Envoy's messages. */
export function authorizationService(parts: {
  authorizer: GatewayAuthorizer
  readiness: Readiness
  /** Proxies whose report of the client's address is trusted. */
  trusts: Trusts
  clock: Clock
  logger: Logger
  noteDuration: NoteDuration
  noteRefusal?: NoteRefusal
  random: Random
}): Record<string, GrpcHandler> {
  const { authorizer, readiness, trusts, clock, random } = parts
  const log = { listener: LISTENER, ...parts }
  const decide = async (asked: CheckRequestMessage, source: string): Promise<Decision> => {
    const cause = notReady(readiness)
    if (!cause) return authorizer.decide(checkedRequest(asked, source))
    return { allowed: false, denial: denial('unavailable', { cause }), reason: 'unavailable', about: {} }
  }
  const check: GrpcHandler = (call, message) => {
    const started = clock.monotonicMs()
    const asked = readOrFault(message)
    if ('fault' in asked) return void call.refuse(STATUS.invalidArgument, asked.fault)
    const source = asked.source && trusts(call.peer, 0) ? asked.source : call.peer
    return decide(asked, source).then(decision => {
      const exchange = { method: undefined, status: statusOf(decision), answered: true, started }
      const requestId = random.uuid()
      logRequest(log, eventFor(decision, source, requestId), exchange)
      call.answer(responseTo(decision, requestId))
    })
  }
  return { '/envoy.service.auth.v3.Authorization/Check': check }
}

function readOrFault(message: Buffer): CheckRequestMessage | { fault: string } {
  try {
    return readCheckRequest(message)
  } catch (error) {
    if (error instanceof UnreadableMessage) return { fault: error.message }
    throw error
  }
}

/** Repeats that are joined with a comma are one value, which no credential contains. */
const checkedRequest = ({ headers, path, body }: CheckRequestMessage, source: string): CheckedRequest => ({
  headers,
  target: path,
  source,
  body: async () => body,
})

/**
 * A denial is sent as one, even 503: Envoy would replace the body of an error. Its metadata is for the log of Envoy; the client
 * does not see it.
 */
function responseTo(decision: Decision, requestId: string): Buffer {
  if (decision.allowed) {
    const { jwt, claims } = decision.admitted
    const headers = { authorization: `Bearer ${jwt}`, ...claimHeaders(claims) }
    return okResponse(headers, REMOVED_HEADERS, structMessage(dynamicMetadata(claims)))
  }
  const refusal = decision.denial
  return deniedResponse(
    refusal.status === 401 ? UNAUTHENTICATED : PERMISSION_DENIED,
    refusal.status,
    { 'content-type': 'application/json', ...refusal.headers },
    JSON.stringify(denialBody(refusal)),
    structMessage({ reason: decision.reason, request_id: requestId }),
  )
}

/** The status that the gateway's client receives. */
const statusOf = (decision: Decision) => (decision.allowed ? 200 : decision.denial.status)

/** The access log event of a check. */
function eventFor(decision: Decision, source: string, requestId: string) {
  const event = { requestId, source, route: ROUTE, polled: false }
  if (decision.allowed) return { ...event, fields: decision.admitted.about }
  const { denial: refusal, reason, about } = decision
  return { ...event, fields: { error: refusal.code, reason, ...about }, error: refusal.cause }
}
