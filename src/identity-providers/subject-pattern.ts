/**
 * The subjects that a rule accepts. `*` is one whole segment between `:` or `/`, and never `default`, which is
 * what exists without being named: each Kubernetes namespace has a service account `default`.
 */
export interface SubjectPattern {
  /** Segments and the separators between them, alternating. `*` is a wildcard. */
  parts: readonly string[]
  hasWildcard: boolean
}

const WILDCARD = '*'
const NEVER_MATCHED = 'default'

const partsOf = (text: string) => text.split(/([:/])/)

/** Undefined for a wildcard that is not a whole segment. */
export function parseSubject(text: string): SubjectPattern | undefined {
  const parts = partsOf(text)
  if (text === '' || parts.some(part => part !== WILDCARD && part.includes(WILDCARD))) return undefined
  return { parts, hasWildcard: parts.includes(WILDCARD) }
}

export function matchesSubject({ parts }: SubjectPattern, subject: string): boolean {
  const given = partsOf(subject)
  return (
    given.length === parts.length &&
    parts.every((part, place) => part === given[place] || isWild(part, given[place] ?? ''))
  )
}

const isWild = (part: string, given: string) => part === WILDCARD && given !== '' && given !== NEVER_MATCHED

/** Whether every subject that `inner` accepts is accepted by `outer`. */
export const subjectContains = (outer: SubjectPattern, inner: SubjectPattern): boolean =>
  outer.parts.length === inner.parts.length &&
  outer.parts.every((part, place) => {
    const other = inner.parts[place] ?? ''
    return part === other || (part === WILDCARD && isWild(part, other))
  })

/** Whether a subject exists that both accept. */
export const subjectsOverlap = (a: SubjectPattern, b: SubjectPattern): boolean =>
  a.parts.length === b.parts.length &&
  a.parts.every((part, place) => {
    const other = b.parts[place] ?? ''
    return part === other || isWild(part, other) || isWild(other, part)
  })
