/**
 * sync/ keeps the JWKS of an issuer in Istio's RequestAuthentications, and the list of revoked tokens in
 * AuthorizationPolicies, so that gateways have both while Mintmark is unavailable. `rounds.ts` repeats one round: fetch
 * the list (denied-list.ts) and the JWKS (published-jwks.ts), apply them to the objects of the files (synced-object.ts). No
 * part of the service imports this folder.
 */
export const FAULTS = [
  'mintmark_unavailable',
  'jwks_invalid',
  'jwks_older',
  'unsafe_interval',
  'list_unavailable',
  'list_invalid',
  'list_older',
  'list_too_long',
  'api_unavailable',
  'api_forbidden',
  'api_invalid',
  'not_found',
  'rejected',
  'conflict',
] as const

/** Why a round failed: the label of `mintmark_sync_failures_total`. */
export type FaultReason = (typeof FAULTS)[number]

/** An expected failure of a round. `message` has the cure. */
export class SyncFault extends Error {
  override readonly name = 'SyncFault'
  readonly reason: FaultReason
  /** How long the server wants to be left alone. */
  readonly retryAfterSeconds: number | undefined

  constructor(
    reason: FaultReason,
    message: string,
    options: { retryAfterSeconds?: number | undefined } = {},
  ) {
    super(message)
    this.reason = reason
    this.retryAfterSeconds = options.retryAfterSeconds
  }
}
