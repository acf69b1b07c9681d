import type { RefusalReason } from '../refusal-reasons.ts'

/**
 * What `%RESPONSE_CODE_DETAILS%` of Envoy says of a refusal, and our reason for it: the first text that it contains counts.
 * Istio and Envoy Gateway log it by default. The log in deploy/envoy is generated from this list.
 */
export const ENVOY_DETAILS: readonly (readonly [text: string, reason: RefusalReason])[] = [
  ['Jwt_is_missing', 'missing_credential'],
  ['Jwt_is_expired', 'token_expired'],
  ['Jwt_is_not_in_the_form', 'token_malformed'],
  ['Jwt_issuer_is_not_configured', 'token_issuer'],
  ['have_key_to_match_kid', 'token_unknown_key'],
  ['Jwt_verification_fails', 'token_signature'],
  ['Audiences_in_Jwt_are_not_allowed', 'token_audience'],
  ['Jwks_remote_fetch_is_failed', 'jwks_unavailable'],
  ['jwt_authn_access_denied', 'token_invalid'],
  ['matched_policy[revoked]', 'token_revoked'],
  ['matched_policy[without-list]', 'list_unavailable'],
  ['rbac_access_denied', 'not_allowed'],
  ['ext_authz_error', 'check_unreachable'],
  ['request_rate_limited', 'too_many_requests'],
  ['rate_limiter_error', 'limits_unavailable'],
]

/** The reason by the details of Envoy; undefined: they do not say. */
export const reasonOfDetails = (details: string): RefusalReason | undefined =>
  ENVOY_DETAILS.find(([text]) => details.includes(text))?.[1]
