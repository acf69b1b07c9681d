import { escapePointer, type Fault } from '../errors.ts'
import type { Assertion } from './assertion.ts'
import { type ClaimValues, matchesClaims, valuesOf } from './claim-values.ts'
import type { ProviderKind } from './provider-kind.ts'
import { matchesSubject, parseSubject, type SubjectPattern } from './subject-pattern.ts'

/** Which assertions of a provider are for a key: subject and every claim must match. */
export interface FederatedRule {
  /** Null: any subject. */
  subject: string | null
  claims: ClaimValues
  /** `github-actions`: accept events that a stranger to the repository can cause. */
  allowUntrustedEvents: boolean
}

/** A rule with its subject parsed once. */
export interface PreparedRule {
  subject: SubjectPattern | null
  claims: ClaimValues
}

export const prepareRule = ({ subject, claims }: FederatedRule): PreparedRule => ({
  subject: subject === null ? null : (parseSubject(subject) ?? NOTHING),
  claims,
})

/** Accepts no subject: an assertion has at least one character. */
const NOTHING: SubjectPattern = { parts: [''], hasWildcard: false }

export const matchesRule = (rule: PreparedRule, { sub, claims }: Assertion): boolean =>
  (rule.subject === null || matchesSubject(rule.subject, sub)) && matchesClaims(rule.claims, claims)

/** Events that a stranger can cause. A pull request runs code of its author with the identity of the repository. */
const UNTRUSTED_EVENTS = [
  'pull_request',
  'pull_request_target',
  'pull_request_review',
  'pull_request_review_comment',
  'workflow_run',
  'issue_comment',
  'issues',
  'discussion',
  'discussion_comment',
  'fork',
  'watch',
]
/** Claims that each assertion of the provider has alike, or that say nothing about who it is. */
const NAME_NO_ONE = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'])
const LONGEST_VALUE = 512
const MOST_VALUES = 32
const MOST_CLAIMS = 16
const PRINTABLE = /^[\x21-\x7e]+$/

/** What is wrong with a rule, with pointers into a credential; empty: nothing. */
export function ruleFaults(kind: ProviderKind, rule: FederatedRule): Fault[] {
  const faults = [...subjectFaults(rule), ...claimFaults(rule.claims)]
  if (rule.allowUntrustedEvents && kind !== 'github-actions')
    faults.push({ pointer: '/allow_untrusted_events', message: 'is for providers of kind github-actions' })
  return faults.length > 0 ? faults : KIND_FAULTS[kind](rule)
}

function subjectFaults({ subject }: FederatedRule): Fault[] {
  if (
    subject === null ||
    (parseSubject(subject) && PRINTABLE.test(subject) && subject.length <= LONGEST_VALUE)
  )
    return []
  const message = `must be 1 to ${LONGEST_VALUE} printable characters, with * only as a whole segment between : or /`
  return [{ pointer: '/subject', message }]
}

/** Faults of claims and their values. `*` is not special in a value: it would be a misunderstanding. */
export function claimFaults(claims: ClaimValues): Fault[] {
  const entries = Object.entries(claims)
  if (entries.length > MOST_CLAIMS)
    return [{ pointer: '/claims', message: `must have at most ${MOST_CLAIMS} claims` }]
  return entries.flatMap(([name, accepted]) => {
    const pointer = `/claims/${escapePointer(name)}`
    const values = valuesOf(accepted)
    const isPointer = /^(\/([^~/]|~[01])+){2,}$/.test(name)
    if (!PRINTABLE.test(name) || (name.startsWith('/') && !isPointer))
      return { pointer, message: 'must be a top-level claim, or a JSON Pointer of at least two segments' }
    if (NAME_NO_ONE.has(name))
      return { pointer, message: 'cannot be named here: it does not say who the assertion is about' }
    if (values.length === 0 || values.length > MOST_VALUES)
      return { pointer, message: `must have 1 to ${MOST_VALUES} values` }
    if (values.some(value => value === '' || value.length > LONGEST_VALUE))
      return { pointer, message: `must have values of 1 to ${LONGEST_VALUE} characters` }
    if (values.some(value => value.includes('*')))
      return { pointer, message: 'must have exact values: * is possible in subject only' }
    return []
  })
}

/** What a rule must name, so that no one else can have such an assertion. */
const KIND_FAULTS: Record<ProviderKind, (rule: FederatedRule) => Fault[]> = {
  kubernetes: ({ subject }) =>
    /^system:serviceaccount:[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?:[^:/]+$/.test(subject ?? '')
      ? []
      : [
          {
            pointer: '/subject',
            message: 'must be system:serviceaccount:<namespace>:<name or *>, with an exact namespace',
          },
        ],
  'github-actions': rule => [
    ...mustBeNumber(rule, 'repository_owner_id'),
    ...mustBeNumber(rule, 'repository_id'),
    ...eventFaults(rule),
  ],
  'gitlab-ci': rule => [
    ...mustBeNumber(rule, 'namespace_id'),
    ...mustBeNumber(rule, 'project_id'),
    ...(rule.claims.ref_protected === 'true'
      ? []
      : [{ pointer: '/claims/ref_protected', message: 'must be "true": others can push to other refs' }]),
  ],
  spiffe: ({ subject }) =>
    /^spiffe:\/\/[a-z0-9._-]{1,255}\/./.test(subject ?? '')
      ? []
      : [
          {
            pointer: '/subject',
            message: 'must be spiffe://<trust domain>/<path>, with an exact trust domain',
          },
        ],
  oidc: ({ subject, claims }) => {
    const isExact = subject !== null && parseSubject(subject)?.hasWildcard === false
    return isExact || Object.keys(claims).length > 0
      ? []
      : [{ pointer: '/subject', message: 'must be exact, or an exact claim must be named' }]
  },
}

/** Names of accounts and repositories are given to others once they are free; numbers are not. */
function mustBeNumber({ claims }: FederatedRule, name: string): Fault[] {
  const value = claims[name]
  return typeof value === 'string' && /^[0-9]{1,20}$/.test(value)
    ? []
    : [{ pointer: `/claims/${name}`, message: 'must be one exact number, as text: names can be taken over' }]
}

function eventFaults({ claims, allowUntrustedEvents }: FederatedRule): Fault[] {
  const pointer = '/claims/event_name'
  if (claims.event_name === undefined)
    return [{ pointer, message: 'must list the events whose jobs may get tokens' }]
  const untrusted = valuesOf(claims.event_name).filter(event => UNTRUSTED_EVENTS.includes(event))
  return untrusted.length === 0 || allowUntrustedEvents
    ? []
    : [
        {
          pointer,
          message: `must not have ${untrusted.join(', ')}: a stranger can cause it. allow_untrusted_events accepts that`,
        },
      ]
}
