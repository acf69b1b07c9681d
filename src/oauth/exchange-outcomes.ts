import type { ServerResponse } from 'node:http'
import type { AuthFailure, Caller } from '../authentication/authenticator.ts'
import type { DeferredWrites } from '../authentication/deferred-writes.ts'
import { eventOf } from '../http/request-event.ts'
import { NotGranted } from './client-credentials.ts'
import { type OAuthErrorCode, toOAuthError } from './oauth-error.ts'

/** How an exchange ended: with a token, or why not, in the log's words where the log knows more than the client may. */
type Outcome = 'ok' | AuthFailure['reason'] | OAuthErrorCode

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

/**
 * All that is counted when an exchange ends: its outcome, for metrics, and what became of its key, for the key's daily
 * usage. Keys that are refused are counted per key where they are checked, by the Authenticator, for gateways as well.
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

  /** Anything was thrown on the token endpoint's route, before or after its handler saw the request. */
  refused(thrown: unknown, res: ServerResponse): void {
    const { reason } = eventOf(res).fields
    if (thrown instanceof NotGranted) this.#deferred.count(thrown.caller.keyId, thrown.code, thrown.caller.at)
    this.#outcomes[isOutcome(reason, this.#outcomes) ? reason : toOAuthError(thrown).code]++
  }
}

const isOutcome = (reason: unknown, outcomes: ExchangeOutcomes): reason is Outcome =>
  typeof reason === 'string' && Object.hasOwn(outcomes, reason)
