import { moment, names } from '../output.ts'
import { record, table } from '../table.ts'
import { styled } from '../terminal-text.ts'

export interface Refusal {
  at: string
  listener: string
  route: string
  status: number
  reason: string
  text: string
  request_id: string | null
  gateway_request_id: string | null
  source: string | null
  key: string | null
  token_id: string | null
}

type Limits = Record<string, number | null>

/** The response of `POST /admin/v1/explain`, as far as it is printed for a person. */
export interface Explanation {
  subject: 'key' | 'token' | 'token_id' | 'request'
  accepted: boolean | null
  reason: string | null
  decided_by: string | null
  text: string | null
  rules: { rule: string; result: 'passed' | 'failed' | 'not_reached' }[]
  key: {
    id: string
    name: string
    tenant: string
    tenant_suspended: boolean
    state: string
    expires_at: string | null
    revoked_at: string | null
    revoked_reason: string | null
    secret_id: string | null
    secret_state: string | null
  } | null
  rights: {
    tier: string
    scopes: string[]
    models: string[]
    adapters: string[]
    audiences: string[]
    limits: { tenant: Limits; key: Limits }
  } | null
  token: {
    jti: string
    key: string
    expires_at: string
    audiences: string[]
    models: string[]
    adapters: string[]
  } | null
  revocation: { claim: string; value: string; ends_at: string } | null
  gateway: { contract_number: number; issuer?: string; audience: string; scope: string; model: string }
  recent_refusals: Refusal[]
  remembered: { refusals: number; since: string | null } | null
  other_replicas: { running: number | null; answered: number } | null
}

/**
 * The short answer for a person: the verdict and its cure, then what it was decided from.
 *
 * @param says of a token that was given: what it says of itself, which only a valid signature proves
 */
export function explainedText(explanation: Explanation, says?: string): string {
  const own: [string, string][] =
    says === undefined || explanation.token ? [] : [['token', `its own claims, not proven: ${says}`]]
  const parts = [verdict(explanation), record([...own, ...facts(explanation)])]
  if (explanation.recent_refusals.length > 0) parts.push(refusalTable(explanation.recent_refusals))
  return parts.join('\n\n')
}

function verdict({ subject, accepted, reason, decided_by: by, text }: Explanation): string {
  if (reason !== null) {
    const what =
      subject === 'request' ? 'The request was refused' : subject === 'token_id' ? 'Refused' : 'REFUSED'
    return `${styled('bold', `${what}: ${reason}`)} (decided by the ${by})\n${text}`
  }
  if (accepted) return styled('bold', 'Accepted.')
  return subject === 'request'
    ? 'No refusal of this request is remembered.'
    : 'The list of revoked tokens does not have this token, and no refusal of it is remembered. Mintmark does not store issued tokens.'
}

function facts({
  rules,
  key,
  rights,
  token,
  revocation,
  gateway,
  remembered,
  other_replicas: others,
}: Explanation): [string, string][] {
  const facts: [string, string][] = []
  if (rules.length > 0) facts.push(['rules', rules.map(shownRule).join(', ')])
  if (key) facts.push(['key', shownKey(key)])
  if (token)
    facts.push(['token', `${token.jti}, until ${moment(token.expires_at)}, for ${names(token.audiences)}`])
  if (token) facts.push(['token models', names([...token.models, ...token.adapters])])
  if (rights) {
    facts.push([
      'rights',
      `tier ${rights.tier}, scopes ${names(rights.scopes)}, audiences ${names(rights.audiences)}`,
    ])
    facts.push(['models', names([...rights.models, ...rights.adapters])])
    facts.push([
      'limits',
      `tenant: ${shownLimits(rights.limits.tenant)}; key: ${shownLimits(rights.limits.key)}`,
    ])
  }
  if (revocation)
    facts.push(['revocation', `${REVOKED[revocation.claim]}, listed until ${moment(revocation.ends_at)}`])
  const { contract_number: contract, issuer, audience, scope, model } = gateway
  facts.push([
    'check',
    `${issuer === undefined ? '' : `issuer ${issuer}, `}audience ${audience}, scope ${scope}, model: ${model}, contract number ${contract}`,
  ])
  if (remembered) facts.push(['remembered', shownMemory(remembered)])
  if (others && others.running !== 0) facts.push(['replicas', shownReplicas(others)])
  return facts
}

const shownMemory = ({ refusals, since }: NonNullable<Explanation['remembered']>) =>
  since === null
    ? 'none by this replica'
    : `${refusals} by this replica since ${moment(since)}; earlier ones are in the log`

const shownReplicas = ({ running, answered }: NonNullable<Explanation['other_replicas']>) =>
  running === null
    ? 'the others could not be asked; their refusals are in their logs'
    : answered < running
      ? `${answered} of ${running} others answered; refusals of the rest are in their logs`
      : `all ${running} others answered`

const REVOKED: Record<string, string> = {
  jti: 'this token alone',
  key_epoch: 'all tokens of the key that were issued before',
  tenant_epoch: 'all tokens of the tenant that were issued before',
}

const shownRule = ({ rule, result }: Explanation['rules'][number]) =>
  result === 'passed' ? rule : result === 'failed' ? styled('bold', `${rule} FAILED`) : `(${rule})`

function shownKey(key: NonNullable<Explanation['key']>): string {
  const { secret_id: secret, secret_state: state, revoked_at: revoked, revoked_reason: why } = key
  return [
    `${key.id} "${key.name}" of ${key.tenant}${key.tenant_suspended ? ' (SUSPENDED)' : ''}: ${key.state}`,
    revoked === null
      ? key.expires_at === null
        ? 'never expires'
        : `expires ${moment(key.expires_at)}`
      : `revoked ${moment(revoked)}${why === null || why === '' ? '' : ` (${why})`}`,
    ...(secret === null ? [] : [`secret ${secret} ${state}`]),
  ].join(', ')
}

function shownLimits(limits: Limits): string {
  const set = Object.entries(limits).filter(([, value]) => value !== null)
  return set.length === 0
    ? 'none'
    : set.map(([name, value]) => `${value} ${name.replaceAll('_', ' ')}`).join(', ')
}

/** Refusals, the newest first. */
export const refusalTable = (refusals: readonly Refusal[]): string =>
  table(
    refusals,
    [
      { title: 'REFUSED', of: ({ at }) => moment(at) },
      { title: 'STATUS', of: ({ status }) => String(status) },
      { title: 'REASON', of: ({ reason }) => reason },
      { title: 'AT', of: ({ listener, route }) => `${listener} ${route}` },
      { title: 'KEY', of: ({ key }) => key ?? '-' },
      { title: 'REQUEST', of: each => each.gateway_request_id ?? each.request_id ?? '-' },
      { title: 'CLIENT', of: ({ source }) => source ?? '-' },
    ],
    Number.POSITIVE_INFINITY,
  )
