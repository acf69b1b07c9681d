import type { ServerResponse } from 'node:http'
import type { AuthFailure, Caller } from '../authentication/authenticator.ts'
import type { DeferredWrites } from '../authentication/deferred-writes.ts'
import { eventOf } from '../http/request-event.ts'
import { AssertionRefused } from './assertion-refusal.ts'
import { NotGranted } from './client-credentials.ts'
import { type OAuthErrorCode, toOAuthError } from './oauth-error.ts'

/** How an exchange ended: `ok`, or the reason of the failure as logged, which may be more exact than the response. */
type Outcome = 'ok' | 'assertion_refused' | AuthFailure['reason'] | OAuthErrorCode

/** Number of exchanges by outcome since the start. Every outcome is present from the start, with 0. */
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
  assertion_refused: 0,
  invalid_request: 0,
  invalid_client: 0,
  invalid_grant: 0,
  unauthorized_client: 0,
  unsupported_grant_type: 0,
  invalid_scope: 0,
  invalid_target: 0,
  slow_down: 0,
  temporarily_unavailable: 0,
  server_error: 0,
})

/**
 * Counts exchanges when they end: the outcome for metrics, and the key's daily usage. Rejected keys are counted by the
 * Authenticator, because gateways use it too.
 */
export class ExchangeCounts {
  readonly #outcomes: ExchangeOutcomes
  readonly #deferred: DeferredWrites

  constructor(options: { outcomes: ExchangeOutcomes; deferred: DeferredWrites }) {
    this.#outcomes = options.outcomes
    this.#deferred = options.deferred
  }

  /** A token was issued. */
  issued({ keyId, at }: Caller): void {
    this.#deferred.count(keyId, 'exchanged', at)
    this.#outcomes.ok++
  }

  /** An error was thrown on the token endpoint's route, before or after its handler was called. */
  refused(thrown: unknown, res: ServerResponse): void {
    if (thrown instanceof AssertionRefused) {
      this.#outcomes.assertion_refused++
      return
    }
    const { reason } = eventOf(res).fields
    if (thrown instanceof NotGranted) this.#deferred.count(thrown.caller.keyId, thrown.code, thrown.caller.at)
    this.#outcomes[isOutcome(reason, this.#outcomes) ? reason : toOAuthError(thrown).code]++
  }
}

const isOutcome = (reason: unknown, outcomes: ExchangeOutcomes): reason is Outcome =>
  typeof reason === 'string' && Object.hasOwn(outcomes, reason)
