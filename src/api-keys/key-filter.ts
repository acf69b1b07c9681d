/** Which keys are wanted; absent: no matter. All that is there must hold. */
export interface KeyFilter {
  tenantId?: string
  /** A label's name, and its value unless any will do. */
  label?: { name: string; value?: string }
  unrevoked?: true
  createdBefore?: Date
  createdAfter?: Date
  /** Ends before this; keys without an end never do. */
  expiresBefore?: Date
  /** Made before this, and none of its secrets was used since. */
  unusedSince?: Date
}
