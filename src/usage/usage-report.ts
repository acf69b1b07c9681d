/** At most one of `hour`, `day` and `month`. `label`: the value of the label that the query names. */
export const USAGE_GROUPS = ['tenant', 'key', 'model', 'reporter', 'label', 'hour', 'day', 'month'] as const
export type UsageGroup = (typeof USAGE_GROUPS)[number]

export interface UsageQuery {
  groups: ReadonlySet<UsageGroup>
  /** Hours that begin from `from` on and before `to`. */
  from: Date
  to: Date
  /** IANA name: where days and months begin. */
  timeZone: string
  /** Any of these; undefined: all. */
  tenant?: readonly string[] | undefined
  key?: readonly string[] | undefined
  model?: readonly string[] | undefined
  reporter?: readonly string[] | undefined
  /** A label that the tenant or the key had. Without a value: any. */
  label?: { name: string; value?: string } | undefined
  /** Of the group `label`. */
  labelName?: string | undefined
}

/** Names are '' where they are not grouped, or not known. */
export interface UsageRow {
  start: Date
  tenant: string
  key: string
  model: string
  reporter: string
  /** The value of the label. */
  label: string
  requests: number
  refusedRequests: number
  estimatedRequests: number
  /** Part of the others: corrections of closed months. */
  adjustedRequests: number
  inputTokens: number
  cachedInputTokens: number
  outputTokens: number
}

/** Where the next page begins: the names of the last row. */
export type UsagePlace = readonly [
  start: string,
  tenant: string,
  key: string,
  model: string,
  reporter: string,
  label: string,
]
