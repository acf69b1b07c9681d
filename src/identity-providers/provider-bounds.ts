import type { Assertion } from './assertion.ts'
import { areSingle, type ClaimValues, matchesClaims, valuesOf } from './claim-values.ts'
import type { FederatedRule } from './federated-rule.ts'
import { matchesSubject, parseSubject, subjectContains, subjectsOverlap } from './subject-pattern.ts'

/**
 * Opens a provider to one tenant: its credentials may name identities within these only. Bounds of different tenants
 * are disjoint, so that no tenant can name an identity of another.
 */
export interface ProviderBounds {
  tenantId: string
  /** Null: any subject. As in a rule. */
  subject: string | null
  claims: ClaimValues
}

type Named = Pick<FederatedRule, 'subject' | 'claims'>

/** Whether every assertion that the rule accepts is within the bounds. A claim that the rule does not name can have any value. */
export function isWithinBounds(rule: Named, bounds: ProviderBounds): boolean {
  const claims = Object.entries(bounds.claims).every(([name, outer]) => {
    const inner = Object.hasOwn(rule.claims, name) ? rule.claims[name] : undefined
    return inner !== undefined && valuesOf(inner).every(value => valuesOf(outer).includes(value))
  })
  if (!claims || bounds.subject === null) return claims
  const outer = parseSubject(bounds.subject)
  const inner = rule.subject === null ? undefined : parseSubject(rule.subject)
  return outer !== undefined && inner !== undefined && subjectContains(outer, inner)
}

/** Whether no assertion can match both. Claims that are lists are excluded by `admits`. */
export function areDisjoint(a: Named, b: Named): boolean {
  const claims = Object.entries(a.claims).some(([name, values]) => {
    const others = Object.hasOwn(b.claims, name) ? b.claims[name] : undefined
    return others !== undefined && !valuesOf(values).some(value => valuesOf(others).includes(value))
  })
  if (claims || a.subject === null || b.subject === null) return claims
  const [first, second] = [parseSubject(a.subject), parseSubject(b.subject)]
  return !first || !second || !subjectsOverlap(first, second)
}

/** The first two bounds of different tenants that are not disjoint. */
export function overlapping(
  bounds: readonly ProviderBounds[],
): readonly [ProviderBounds, ProviderBounds] | undefined {
  for (const [place, a] of bounds.entries())
    for (const b of bounds.slice(place + 1))
      if (a.tenantId !== b.tenantId && !areDisjoint(a, b)) return [a, b]
  return undefined
}

/** Whether the assertion itself is within the bounds: each claim that they name has one value, and it is accepted. */
export function admits(bounds: ProviderBounds, { sub, claims }: Assertion): boolean {
  if (!areSingle(bounds.claims, claims) || !matchesClaims(bounds.claims, claims)) return false
  if (bounds.subject === null) return true
  const pattern = parseSubject(bounds.subject)
  return pattern !== undefined && matchesSubject(pattern, sub)
}
