import { type Assertion, audiencesOf, type Refusal } from './assertion.ts'
import { claimAt, textsOf } from './claim-values.ts'
import { matchesRule, type PreparedRule, prepareRule } from './federated-rule.ts'
import { admits, type ProviderBounds } from './provider-bounds.ts'
import type { AssertionAlg, ProviderKind } from './provider-kind.ts'

/** What an exchange needs of a provider. Its keys are elsewhere, because they change without it. */
export interface FederatedProvider {
  id: string
  kind: ProviderKind
  /** Byte-equal to `iss`; `spiffe://<trust domain>` for SPIFFE identities without one. */
  issuer: string
  audiences: readonly string[]
  algorithms: readonly AssertionAlg[]
  bounds: readonly ProviderBounds[]
}

/** A rule of a key, in whatever state the key is. */
export interface FederatedCredential {
  id: string
  keyId: string
  tenantId: string
  providerId: string
  rule: PreparedRule
}

export type MatchFault =
  | 'assertion_unknown_issuer'
  | 'assertion_audience'
  | 'assertion_subject'
  | 'no_credential_matches'
  | 'credentials_of_two_tenants_match'
  | 'credentials_of_two_keys_match'
  | 'not_as_expected'
  | 'outside_bounds'

/** What a request says about its key. No other is accepted. */
export interface Expected {
  /** The id of the key, or its tenant. */
  client?: string | undefined
  credentialId?: string | undefined
  keyId?: string | undefined
  tenantId?: string | undefined
}

/** Providers and credentials in memory. Finds the ones that an assertion is for, without looking at every rule. */
export class Federation {
  readonly #byIssuer: ReadonlyMap<string, readonly FederatedProvider[]>
  readonly #rules = new Map<string, RuleIndex<FederatedCredential>>()
  /** By provider. */
  readonly #bounds = new Map<string, BoundsIndex>()

  constructor(providers: Iterable<FederatedProvider>, credentials: Iterable<FederatedCredential>) {
    this.#byIssuer = Map.groupBy(providers, ({ issuer }) => issuer)
    for (const { id, bounds } of [...this.#byIssuer.values()].flat())
      if (bounds.length > 0) this.#bounds.set(id, new BoundsIndex(bounds))
    for (const credential of credentials) {
      const index = this.#rules.get(credential.providerId) ?? new RuleIndex<FederatedCredential>()
      this.#rules.set(credential.providerId, index)
      index.add(credential)
    }
  }

  /**
   * The provider that the assertion says it is from. Every audience must be one of the provider's: issuers that share a
   * name have disjoint ones, and an assertion that is also for another service can be replayed by it.
   */
  providerOf(assertion: Assertion): { ok: true; provider: FederatedProvider } | Refusal<MatchFault> {
    const issuer = assertion.iss ?? trustDomainOf(assertion.sub)
    const providers = (issuer !== undefined && this.#byIssuer.get(issuer)) || []
    if (providers.length === 0) return { ok: false, reason: 'assertion_unknown_issuer' }
    const audiences = audiencesOf(assertion)
    const provider = providers.find(each => audiences.every(audience => each.audiences.includes(audience)))
    if (!provider) return { ok: false, reason: 'assertion_audience' }
    if (assertion.iss === undefined && provider.kind !== 'spiffe')
      return { ok: false, reason: 'assertion_unknown_issuer' }
    if (provider.kind === 'spiffe' && !isOfTrustDomain(assertion.sub, provider.issuer))
      return { ok: false, reason: 'assertion_subject' }
    return { ok: true, provider }
  }

  /**
   * The credential that a verified assertion is for, among the expected ones. Another tenant's match is a refusal
   * whatever is expected: one of the two rules is wrong.
   */
  match(
    assertion: Assertion,
    provider: FederatedProvider,
    expected: Expected,
  ):
    | { ok: true; credential: FederatedCredential }
    | (Refusal<MatchFault> & { credentials: readonly FederatedCredential[] }) {
    const refused = (reason: MatchFault, credentials: readonly FederatedCredential[]) =>
      ({ ok: false, reason, credentials }) as const
    const all = this.#rules.get(provider.id)?.matching(assertion) ?? []
    if (new Set(all.map(({ tenantId }) => tenantId)).size > 1)
      return refused('credentials_of_two_tenants_match', all)
    if (all.length === 0) return refused('no_credential_matches', all)
    const named = all.filter(each => isExpected(each, expected))
    const [credential] = named
    if (!credential) return refused('not_as_expected', all)
    if (new Set(named.map(({ keyId }) => keyId)).size > 1)
      return refused('credentials_of_two_keys_match', named)
    const isWithin = this.#bounds.get(provider.id)?.allow(assertion, credential.tenantId) ?? true
    return isWithin ? { ok: true, credential } : refused('outside_bounds', named)
  }
}

/** `spiffe://example.org` of `spiffe://example.org/ns/a`. */
const trustDomainOf = (subject: string): string | undefined =>
  /^(spiffe:\/\/[a-z0-9._-]{1,255})\/./.exec(subject)?.[1]

/** The keys of a trust domain vouch for its own identities only. Other issuers have a URL. */
function isOfTrustDomain(subject: string, issuer: string): boolean {
  const domain = trustDomainOf(subject)
  return domain !== undefined && (!issuer.startsWith('spiffe://') || domain === issuer)
}

const isExpected = (
  { id, keyId, tenantId }: FederatedCredential,
  { client, credentialId = id, keyId: key = keyId, tenantId: tenant = tenantId }: Expected,
): boolean =>
  (client === undefined || client === keyId || client === tenantId) &&
  credentialId === id &&
  key === keyId &&
  tenant === tenantId

/** The bounds of a provider. */
class BoundsIndex {
  readonly #tenants: ReadonlySet<string>
  readonly #index = new RuleIndex<{ bounds: ProviderBounds; rule: PreparedRule }>()

  constructor(all: readonly ProviderBounds[]) {
    this.#tenants = new Set(all.map(({ tenantId }) => tenantId))
    for (const bounds of all)
      this.#index.add({ bounds, rule: prepareRule({ ...bounds, allowUntrustedEvents: false }) })
  }

  /** Whether they are not of another tenant, and within those of this one, if it has any. */
  allow(assertion: Assertion, tenantId: string): boolean {
    const admitted = this.#index.matching(assertion).filter(({ bounds }) => admits(bounds, assertion))
    if (admitted.some(({ bounds }) => bounds.tenantId !== tenantId)) return false
    return admitted.length > 0 || !this.#tenants.has(tenantId)
  }
}

/** Rules by their subject's shape (which segments are wildcards), or by one of their claims. */
class RuleIndex<Ruled extends { rule: PreparedRule }> {
  /** By the number of parts and the places of the wildcards, then by the pattern as text. */
  readonly #shapes = new Map<string, { length: number; wild: readonly number[]; rules: Listed<Ruled> }>()
  /** By the name of a claim, then by its value. */
  readonly #claims = new Map<string, Listed<Ruled>>()

  add(ruled: Ruled): void {
    const { subject, claims } = ruled.rule
    if (subject) {
      const wild = subject.parts.flatMap((part, place) => (part === '*' ? place : []))
      const name = `${subject.parts.length} ${wild}`
      const shape = this.#shapes.get(name) ?? { length: subject.parts.length, wild, rules: new Map() }
      this.#shapes.set(name, shape)
      append(shape.rules, subject.parts.join(''), ruled)
      return
    }
    const [name, values = []] = selective(claims)
    const rules = this.#claims.get(name) ?? new Map()
    this.#claims.set(name, rules)
    for (const value of typeof values === 'string' ? [values] : values) append(rules, value, ruled)
  }

  matching(assertion: Assertion): Ruled[] {
    const found = new Set<Ruled>()
    const parts = assertion.sub.split(/([:/])/)
    for (const { length, wild, rules } of this.#shapes.values()) {
      if (length !== parts.length) continue
      const pattern = parts.map((part, place) => (wild.includes(place) ? '*' : part)).join('')
      for (const ruled of rules.get(pattern) ?? []) found.add(ruled)
    }
    for (const [name, rules] of this.#claims) {
      const value = claimAt(assertion.claims, name)
      if (value === undefined) continue
      for (const text of textsOf(value)) for (const ruled of rules.get(text) ?? []) found.add(ruled)
    }
    return [...found].filter(({ rule }) => matchesRule(rule, assertion))
  }
}

type Listed<Ruled> = Map<string, Ruled[]>

function append<Ruled>(rules: Listed<Ruled>, name: string, ruled: Ruled): void {
  const those = rules.get(name)
  if (those) those.push(ruled)
  else rules.set(name, [ruled])
}

/** Claims by which few rules are alike. */
const SELECTIVE = ['repository_id', 'project_id']

function selective(claims: PreparedRule['claims']): readonly [string, string | readonly string[]] {
  const entries = Object.entries(claims)
  return entries.find(([name]) => SELECTIVE.includes(name)) ?? entries[0] ?? ['', []]
}
