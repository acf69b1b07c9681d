import type { ServerResponse } from 'node:http'
import type { Refusal } from '../authentication/authenticator.ts'
import { eventOf } from '../http/request-context.ts'
import { type OAuthErrorCode, toOAuthError } from './oauth-error.ts'

/** How an exchange ended: with a token, or why not, in the log's words where the log knows more than the client may. */
type Outcome = 'ok' | Refusal['reason'] | OAuthErrorCode

/** How often each outcome was met since the start. Every one is there from the first moment, with 0. */
export type ExchangeOutcomes = Record<Outcome, number>

export const newExchangeOutcomes = (): ExchangeOutcomes => ({
  ok: 0,
  malformed: 0,
  unknown: 0,
  client_mismatch: 0,
  wrong_secret: 0,
  secret_revoked: 0,
  secret_ended: 0,
  key_revoked: 0,
  key_expired: 0,
  tenant_suspended: 0,
  key_disabled: 0,
  too_many_failures: 0,
  invalid_request: 0,
  invalid_client: 0,
  unauthorized_client: 0,
  unsupported_grant_type: 0,
  invalid_scope: 0,
  invalid_target: 0,
  slow_down: 0,
  temporarily_unavailable: 0,
  server_error: 0,
})

/** Counts what was thrown on the token endpoint's route. */
export function countRefusal(outcomes: ExchangeOutcomes, thrown: unknown, res: ServerResponse): void {
  const { reason } = eventOf(res).fields
  outcomes[isOutcome(reason, outcomes) ? reason : toOAuthError(thrown).code]++
}

const isOutcome = (reason: unknown, outcomes: ExchangeOutcomes): reason is Outcome =>
  typeof reason === 'string' && Object.hasOwn(outcomes, reason)
