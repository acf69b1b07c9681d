import { errors } from 'jose'
import type { RefusalReason } from '../refusal-reasons.ts'

/** Why a token does not verify, for the log. */
export type TokenFault = Extract<RefusalReason, `token_${string}`>

const BY_CLAIM: Readonly<Record<string, TokenFault>> = {
  iss: 'token_issuer',
  aud: 'token_audience',
  typ: 'token_type',
  exp: 'token_expired',
}

/** The fault that the library names. Rethrows what is not about the token. */
export function tokenFaultOf(error: unknown): TokenFault {
  if (error instanceof errors.JWTExpired) return 'token_expired'
  if (error instanceof errors.JWTClaimValidationFailed) return BY_CLAIM[error.claim] ?? 'token_claims'
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'token_signature'
  if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys)
    return 'token_unknown_key'
  if (error instanceof errors.JOSEAlgNotAllowed) return 'token_alg'
  if (error instanceof errors.JOSEError) return 'token_malformed'
  throw error
}
