import type { RefusalReason } from '../../refusal-reasons.ts'

/** A rule that was applied, in the order of the check. */
export interface AppliedRule {
  rule: string
  result: 'passed' | 'failed' | 'not_reached'
}

/** Rules in the order in which they are applied, each with the reasons of its failure. */
type Rules = readonly (readonly [rule: string, reasons: readonly RefusalReason[]])[]

/** authentication/authenticator.ts, then gateway/authorize.ts. */
export const KEY_RULES: Rules = [
  ['form', ['malformed']],
  ['known', ['unknown']],
  ['not_revoked', ['key_revoked', 'secret_revoked']],
  ['not_expired', ['key_expired', 'secret_ended']],
  ['enabled', ['tenant_suspended', 'key_disabled']],
  ['audience', ['audience_not_granted']],
  ['scope', ['scope_not_granted']],
  ['model', ['model_not_allowed']],
]

/** tokens/token-verifier.ts, then gateway/authorize.ts. */
export const TOKEN_RULES: Rules = [
  ['form', ['token_malformed', 'token_too_long', 'token_alg']],
  ['signing_key', ['token_unknown_key']],
  ['signature', ['token_signature']],
  ['type', ['token_type']],
  ['issuer', ['token_issuer']],
  ['audience', ['token_audience']],
  ['not_expired', ['token_expired']],
  ['claims', ['token_claims']],
  ['scope', ['token_scope']],
  ['key_status', ['key_revoked', 'tenant_suspended', 'key_disabled']],
  ['not_revoked', ['token_revoked']],
  ['model', ['model_not_allowed']],
]

/** How each rule ended; without the model's where none was asked for. */
export function applied(
  rules: Rules,
  reason: RefusalReason | undefined,
  { asksModel }: { asksModel: boolean },
): AppliedRule[] {
  const asked = rules.filter(([rule]) => asksModel || rule !== 'model')
  const failed = asked.findIndex(([, reasons]) => reason !== undefined && reasons.includes(reason))
  return asked.map(([rule], index) => ({
    rule,
    result: failed < 0 || index < failed ? 'passed' : index === failed ? 'failed' : 'not_reached',
  }))
}
