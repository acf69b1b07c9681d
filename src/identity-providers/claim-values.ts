import type { Claims } from './assertion.ts'

/** Accepted values of claims, by a top-level name or a JSON Pointer. Several values are alternatives. */
export type ClaimValues = Readonly<Record<string, string | readonly string[]>>

export const valuesOf = (accepted: string | readonly string[]): readonly string[] =>
  typeof accepted === 'string' ? [accepted] : accepted

/**
 * The value of a claim: of the top-level member `name`, or, beginning with `/`, of a JSON Pointer (RFC 6901) through
 * objects. Undefined: there is none.
 */
export function claimAt(claims: Claims, name: string): unknown {
  if (!name.startsWith('/')) return Object.hasOwn(claims, name) ? claims[name] : undefined
  let value: unknown = claims
  for (const part of name.slice(1).split('/')) {
    const member = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || Array.isArray(value) || !Object.hasOwn(value, member))
      return undefined
    value = (value as Record<string, unknown>)[member]
  }
  return value
}

/**
 * The texts that a value is compared as: each member of a list; of anything but a string its JSON text. Integers beyond
 * 2^53 have none: two of them can be the same number here.
 */
export const textsOf = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value])
    .filter(isExact)
    .map(each => (typeof each === 'string' ? each : JSON.stringify(each)))

const isExact = (value: unknown) => typeof value !== 'number' || Math.abs(value) <= Number.MAX_SAFE_INTEGER

/** Whether each claim is present and has an accepted value. */
export const matchesClaims = (accepted: ClaimValues, claims: Claims): boolean =>
  Object.entries(accepted).every(([name, values]) => {
    const value = claimAt(claims, name)
    if (value === undefined) return false
    const texts = textsOf(value)
    return valuesOf(values).some(each => texts.includes(each))
  })

/** Whether none of the claims is a list, by one member of which it could match the values of two tenants. */
export const areSingle = (accepted: ClaimValues, claims: Claims): boolean =>
  Object.keys(accepted).every(name => !Array.isArray(claimAt(claims, name)))
