/** Conditions on keys; absent ones do not apply. All must hold. */
export interface KeyFilter {
  tenantId?: string
  /** A label's name, and its value; without a value any matches. */
  label?: { name: string; value?: string }
  /** Made by one of these: `root`, or ids of admin tokens. */
  createdBy?: readonly string[]
  unrevoked?: true
  createdBefore?: Date
  createdAfter?: Date
  /** Ends before this instant; keys without an end never match. */
  expiresBefore?: Date
  /** Has a usable secret that was imported, or one that is found without its client_id. */
  imported?: 'any' | 'lookup'
  /** Usable, with a usable secret that is stored under this pepper. */
  pepper?: string
  /** Created before this instant, and none of its secrets was used since. */
  unusedSince?: Date
}
