import { z } from 'zod'
import { SUBJECTS } from '../../refusal-reasons.ts'
import { DENIED_CLAIMS } from '../../token-revocations/token-revocation.ts'
import { effective } from './key-body.ts'
import { count, instant, keyId, names, secretId, tenantId } from './wire.ts'

const reason = z.string().describe('Code of the reason, as in the log.')
const text = z.string().describe('What was wrong, then the cure.')
const decidedBy = z.enum(SUBJECTS).describe('What decided.')

const rule = z.strictObject({
  rule: z.string().describe('Name of the rule.'),
  result: z.enum(['passed', 'failed', 'not_reached']).describe('`not_reached`: an earlier rule decided.'),
})

const key = z.strictObject({
  id: keyId.describe('Id of the key.'),
  name: z.string().describe('Display name.'),
  tenant: tenantId.describe('Id of its tenant.'),
  tenant_suspended: z.boolean().describe('Whether the tenant is suspended.'),
  state: z.enum(['active', 'disabled', 'expired', 'revoked']).describe('State of the key.'),
  expires_at: instant.nullable().describe('End of the key; null: never.'),
  revoked_at: instant.nullable().describe('Time of revocation; null: not revoked.'),
  revoked_reason: z.string().nullable().describe('Reason given at the revocation.'),
  secret_id: secretId.nullable().describe('Id of the secret that was given; null: none was.'),
  secret_state: z
    .enum(['live', 'ending', 'ended', 'revoked'])
    .nullable()
    .describe('State of that secret; null: none was given.'),
})

const token = z.strictObject({
  jti: z.string().describe('Id of the token.'),
  key: z.string().describe('Id of the key that it was issued to: `sub`.'),
  tenant: tenantId.describe('Id of the tenant.'),
  issued_at: instant.describe('Time of issuance.'),
  expires_at: instant.describe('Time of expiry.'),
  audiences: names.describe('Audiences.'),
  scopes: names.describe('Scopes.'),
  tier: z.string().describe('Tier.'),
  models: names.describe('Base models.'),
  adapters: names.describe('LoRA adapters.'),
})

const revocation = z.strictObject({
  claim: z
    .enum(DENIED_CLAIMS)
    .describe(
      '`jti`: only this token is revoked. `key_epoch` or `tenant_epoch`: all tokens of the key or the tenant that were issued before.',
    ),
  value: z.string().describe('Value of the claim in the list of revoked tokens.'),
  ends_at: instant.describe('Time from which every token with this value has expired.'),
})

const gateway = z.strictObject({
  contract_number: count.describe(
    'Number of the contract between Mintmark and gateway files. A gateway file has it in its first lines, and works with a Mintmark of the same number.',
  ),
  issuer: z.string().describe('Issuer of tokens that the check accepts.'),
  audience: z.string().describe('Audience that was asked for.'),
  scope: z.string().describe('Scope that gateways require.'),
  model: z
    .string()
    .describe('Where the check reads the model: `none` (the gateway checks it), `body`, or `header:<name>`.'),
})

const refusal = z.strictObject({
  at: instant.describe('Time of the refusal.'),
  listener: z.string().describe('Listener.'),
  route: z.string().describe('Route.'),
  status: z.int().describe('Status.'),
  reason,
  decided_by: decidedBy,
  text,
  request_id: z.string().nullable().describe('Id of the request at Mintmark.'),
  gateway_request_id: z
    .string()
    .nullable()
    .describe('`x-request-id` that the gateway sent. Some gateways take it from their client.'),
  source: z.string().nullable().describe('Address of the client.'),
  key: z.string().nullable().describe('Id of the key; null: not known.'),
  token_id: z.string().nullable().describe('`jti` of the token; null: not known.'),
})

export const explanationBody = z
  .strictObject({
    subject: z.enum(['key', 'token', 'token_id', 'request']).describe('What was explained.'),
    accepted: z
      .boolean()
      .nullable()
      .describe(
        'Whether an exchange and `/check` would accept it now; null: not known, because the id of a token or a request was given.',
      ),
    reason: reason.nullable().describe('Code of the reason why not; null: there is none.'),
    decided_by: decidedBy.nullable().describe('What decided; null: there is no reason.'),
    text: text.nullable().describe('What was wrong, then the cure; null: there is no reason.'),
    rules: z.array(rule).describe('The rules in their order. Empty for the id of a token or a request.'),
    key: key.nullable().describe('The key; null: unknown.'),
    rights: effective.nullable().describe('Rights and limits of a new token of the key; null: unknown.'),
    token: token
      .nullable()
      .describe(
        'The token; null: none was given, or it failed a rule before `key_status`, for example because it expired.',
      ),
    revocation: revocation
      .nullable()
      .describe('Entry in the list of revoked tokens that applies to this token; null: none.'),
    gateway: gateway.describe('What the check of this replica requires.'),
    recent_refusals: z.array(refusal).describe('The last refusals that the replicas remember, newest first.'),
    remembered: z
      .strictObject({
        refusals: count.describe('Number of refusals of all callers.'),
        since: instant.nullable().describe('Time of the oldest one; null: there is none.'),
      })
      .nullable()
      .describe(
        'What this replica remembers; null for a tenant-admin. Earlier refusals are in the log only.',
      ),
    other_replicas: z
      .strictObject({
        running: count.nullable().describe('Number of others that run; null: they could not be asked.'),
        answered: count.describe('Number of those that answered within a second.'),
      })
      .nullable()
      .describe(
        'The other replicas, which were asked for their refusals. null: they were not asked, because the replica that answers has the refusal of the given request itself, or because there is no id to ask for. Refusals of replicas that did not answer are in their logs.',
      ),
  })
  .meta({
    id: 'Explanation',
    description: 'Why a credential or a request is accepted or refused.',
    examples: [
      {
        subject: 'key',
        accepted: false,
        reason: 'key_expired',
        decided_by: 'key',
        text: 'The API key expired. Extend it: mintmark key update <key> --expires-at <time>.',
        rules: [
          { rule: 'form', result: 'passed' },
          { rule: 'known', result: 'passed' },
          { rule: 'not_revoked', result: 'passed' },
          { rule: 'not_expired', result: 'failed' },
          { rule: 'enabled', result: 'not_reached' },
          { rule: 'audience', result: 'not_reached' },
          { rule: 'scope', result: 'not_reached' },
        ],
        key: {
          id: 'key_7Hq2kd9XwP3mZt5B',
          name: 'ci',
          tenant: 'acme',
          tenant_suspended: false,
          state: 'expired',
          expires_at: '2026-11-24T09:00:00.000Z',
          revoked_at: null,
          revoked_reason: null,
          secret_id: null,
          secret_state: null,
        },
        rights: null,
        token: null,
        revocation: null,
        gateway: {
          contract_number: 1,
          issuer: 'https://tokens.example.com',
          audience: 'vllm',
          scope: 'inference',
          model: 'none',
        },
        recent_refusals: [],
        remembered: { refusals: 0, since: null },
        other_replicas: { running: 2, answered: 2 },
      },
    ],
  })
