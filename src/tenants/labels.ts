import type { Fault } from '../errors.ts'

/** Text by name, for people and filters. */
export type Labels = Record<string, string>

/** A change to labels; null removes all. */
export type LabelsPatch = Readonly<Record<string, string | null>> | null

/** RFC 7396 for labels: named ones are set, null removes one, the others are kept. */
export function mergedLabels(labels: Labels, patch: LabelsPatch = {}): Labels {
  if (patch === null) return {}
  const entries = Object.entries({ ...labels, ...patch })
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== null))
}

const MOST_LABELS = 32

export function labelFaults(labels: Labels): Fault[] {
  if (Object.keys(labels).length <= MOST_LABELS) return []
  return [{ pointer: '/labels', message: `must be at most ${MOST_LABELS}` }]
}
