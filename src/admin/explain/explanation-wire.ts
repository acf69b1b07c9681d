import { keyState, keyTerm, secretState, secretTerm } from '../../api-keys/key-state.ts'
import type { GatewayModel } from '../../config/gateway-config.ts'
import type { RecentRefusals, RecordedRefusal, RefusalQuery } from '../../http/recent-refusals.ts'
import { meaningOf } from '../../refusal-reasons.ts'
import type { AccessTokenClaims } from '../../tokens/claims.ts'
import { effectiveToWire } from '../key-routes.ts'
import type { Decision, Decisions } from './decisions.ts'

/** What other replicas remember. `running`: how many there are; undefined: they could not be asked. */
export interface OtherReplicas {
  refusals: readonly RecordedRefusal[]
  running: number | undefined
  answered: number
}

/** Everything that explains. */
export interface Explaining {
  decisions: Decisions
  recent: RecentRefusals
  /** Asks the other replicas. */
  elsewhere: (query: RefusalQuery) => Promise<OtherReplicas>
  /** What the check requires. */
  gateway: { contract: number; issuer: string; audience: string; scope: string; model: GatewayModel }
}

/** An explanation on the wire. */
export function toWire(explained: {
  subject: 'key' | 'token' | 'token_id' | 'request'
  /** Empty of an id: nothing was decided now. */
  decision: Partial<Decision>
  refusals: readonly RecordedRefusal[]
  /** Undefined: they were not asked, because this replica knows the request. */
  others: Pick<OtherReplicas, 'running' | 'answered'> | undefined
  gateway: Explaining['gateway']
  /** Undefined: not shown, because it counts requests of all tenants. */
  recent: RecentRefusals | undefined
}): object {
  const { subject, decision, refusals, others, gateway, recent } = explained
  const { rules, rights, claims, revocation } = decision
  // Of a request the newest refusal says what decided.
  const reason = rules ? decision.reason : revocation ? 'token_revoked' : refusals[0]?.reason
  const meaning = reason === undefined ? undefined : meaningOf(reason)
  return {
    subject,
    accepted: rules ? reason === undefined : null,
    reason: reason ?? null,
    decided_by: meaning?.decidedBy ?? null,
    text: meaning?.text ?? null,
    rules: rules ?? [],
    key: keyOf(decision),
    rights: rights ? effectiveToWire(rights) : null,
    token: claims ? tokenOf(claims) : null,
    revocation: revocation
      ? { claim: revocation.claim, value: revocation.value, ends_at: instant(revocation.endsAt) }
      : null,
    gateway: {
      contract_number: gateway.contract,
      issuer: gateway.issuer,
      audience: gateway.audience,
      scope: gateway.scope,
      model: modelOf(gateway.model),
    },
    recent_refusals: refusals.map(refusalOf),
    remembered: recent ? rememberedBy(recent) : null,
    other_replicas: others ? { running: others.running ?? null, answered: others.answered } : null,
  }
}

const rememberedBy = ({ extent: { count, since } }: RecentRefusals) => ({
  refusals: count,
  since: since === undefined ? null : instant(since),
})

const instant = (epochMs: number): string => new Date(epochMs).toISOString()

function modelOf(model: Explaining['gateway']['model']): string {
  if (model.from === 'nowhere') return 'none'
  return model.from === 'body' ? 'body' : `header:${model.name}`
}

function keyOf({ key, secretId, tenantSuspended = false, at = 0 }: Partial<Decision>): object | null {
  if (!key) return null
  const secret = key.secrets.find(({ id }) => id === secretId)
  return {
    id: key.id,
    name: key.name,
    tenant: key.tenantId,
    tenant_suspended: tenantSuspended,
    state: keyState(keyTerm(key), at),
    expires_at: key.expiresAt,
    revoked_at: key.revokedAt,
    revoked_reason: key.revokedReason,
    secret_id: secret?.id ?? null,
    secret_state: secret ? secretState(secretTerm(secret), keyTerm(key), at) : null,
  }
}

const tokenOf = (claims: AccessTokenClaims): object => ({
  jti: claims.jti,
  key: claims.sub,
  tenant: claims.tenant,
  issued_at: instant(claims.iat * 1000),
  expires_at: instant(claims.exp * 1000),
  audiences: [claims.aud].flat(),
  scopes: claims.scope.split(' '),
  tier: claims.tier,
  models: claims.models,
  adapters: claims.adapters,
})

function refusalOf(refusal: RecordedRefusal): object {
  const meaning = meaningOf(refusal.reason)
  return {
    at: instant(refusal.at),
    listener: refusal.listener,
    route: refusal.route,
    status: refusal.status,
    reason: refusal.reason,
    decided_by: meaning?.decidedBy,
    text: meaning?.text,
    request_id: refusal.requestId ?? null,
    gateway_request_id: refusal.gatewayRequestId ?? null,
    source: refusal.source ?? null,
    key: refusal.keyId ?? null,
    token_id: refusal.tokenId ?? null,
  }
}
