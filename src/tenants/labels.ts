/** Text by name, for people and filters. */
export type Labels = Record<string, string>

/** RFC 7396 for labels: named ones are set, null takes one away, the others stay. */
export function mergedLabels(labels: Labels, patch: Record<string, string | null> = {}): Labels {
  const entries = Object.entries({ ...labels, ...patch })
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => entry[1] !== null))
}
