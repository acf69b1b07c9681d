import type { ServerResponse } from 'node:http'
import type { AuditedRefusals } from '../audit/audited-refusals.ts'
import type { Caller } from '../authentication/authenticator.ts'
import type {
  PresentedAssertion,
  WorkloadAuthentication,
  WorkloadRefusal,
} from '../authentication/workloads.ts'
import { eventOf } from '../http/request-event.ts'
import type { RefusalReason } from '../refusal-reasons.ts'
import { OAuthError } from './oauth-error.ts'

/** An assertion was refused. Within a grant all refusals are the same. */
export class AssertionRefused extends OAuthError {}

/**
 * The caller of an accepted assertion. @throws {AssertionRefused} The log and the audit trail have the reason.
 * @throws {OAuthError} 429 after too many refused ones.
 */
export function admitWorkload(
  res: ServerResponse,
  { use }: PresentedAssertion,
  authentication: WorkloadAuthentication,
  refusals: AuditedRefusals,
  operation = 'POST /oauth/token',
): Caller {
  const event = eventOf(res)
  const { fields } = event
  fields.auth_method = use
  fields.identity_provider = authentication.providerId
  fields.assertion_subject = authentication.subject
  if (authentication.ok) {
    const { caller } = authentication
    fields.client_id = caller.keyId
    fields.tenant = caller.tenantId
    fields.credential = caller.secretId
    return caller
  }
  fields.reason = authentication.reason satisfies RefusalReason
  fields.client_id = authentication.keyId
  fields.credentials = authentication.credentialIds?.slice(0, MOST_NAMED).join(' ')
  if (authentication.retryAfterSeconds !== undefined) throw tooMany(authentication.retryAfterSeconds)
  const by = {
    id: 'unknown',
    requestId: event.requestId,
    ...(event.source !== undefined && { source: event.source }),
  }
  refusals.note({
    action: 'exchange.refuse',
    by,
    operation,
    reason: reasonOf(authentication),
  })
  throw refused(use)
}

const MOST_NAMED = 5

const tooMany = (retryAfterSeconds: number) =>
  new OAuthError('slow_down', 'Too many invalid assertions from this address. Retry later.', {
    status: 429,
    headers: { 'Retry-After': String(retryAfterSeconds) },
  })

function reasonOf({ reason, providerId, credentialIds = [] }: WorkloadRefusal): string {
  const named = [providerId, ...credentialIds.slice(0, MOST_NAMED)].filter(id => id !== undefined)
  return named.length === 0 ? reason : `${reason} (${named.join(', ')})`
}

/** RFC 8693 §2.2.2, RFC 7523 §3.1 and §3.2. */
function refused(use: PresentedAssertion['use']): AssertionRefused {
  switch (use) {
    case 'subject_token':
    case 'id_token':
      return new AssertionRefused('invalid_request', 'Invalid subject_token.')
    case 'assertion':
      return new AssertionRefused('invalid_grant', 'Invalid assertion.')
    case 'private_key_jwt':
    case 'spiffe_jwt':
      return new AssertionRefused('invalid_client', 'Invalid client assertion.', { status: 401 })
  }
}
