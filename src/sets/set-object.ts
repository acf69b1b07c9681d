/**
 * sets/ remembers which set of `mintmark apply` an object belongs to: at most one. The row is written in the transaction
 * that creates the object, and goes with it. docs/decisions/0028-sets-of-objects.md
 */
export const SET_KINDS = [
  'tier',
  'model',
  'adapter',
  'tenant',
  'key',
  'identity-provider',
  'usage-reporter',
] as const
export type SetKind = (typeof SET_KINDS)[number]

/** An object that may belong to a set. */
export interface ObjectName {
  kind: SetKind
  /** Its id, or the name of a tier, model or adapter. */
  id: string
}

/** A set, and the name of an object in it. */
export interface Membership {
  set: string
  name: string
}

export interface SetObject extends ObjectName, Membership {
  /** Whether the set created the object. */
  createdBySet: boolean
  createdBy: string
  createdAt: Date
}

export const SET_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
export const LONGEST_NAME_IN_SET = 300
