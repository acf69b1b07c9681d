import { OPERATIONS } from '../../service/reconciliation.ts'
import type { Tombstone } from '../../tombstones/tombstone.ts'
import { moment, type View } from '../output.ts'

/** One step of a plan. */
export interface Step {
  id: string
  kind: Tombstone['kind']
  /** The key of a secret, the tenant of a key. */
  owner: string | null
  ended_at: string
  action: string
}

export const PLAN: View<Step> = {
  plural: 'objects to revoke, suspend or delete again',
  id: ({ id }) => id,
  columns: [
    { title: 'ID', of: ({ id }) => id },
    { title: 'OF', of: ({ owner }) => owner ?? '-', cut: true },
    { title: 'ENDED', of: ({ ended_at }) => moment(ended_at) },
    { title: 'ACTION', of: ({ action }) => action },
  ],
}

/** `waived`: the ids that stay as they are in the database. */
export const planned = (tombstones: readonly Tombstone[], waived: ReadonlySet<string> = new Set()): Step[] =>
  tombstones.map(({ kind, id, owner, at }) => ({
    id,
    kind,
    owner,
    ended_at: new Date(at).toISOString(),
    action: waived.has(id) ? 'waive' : OPERATIONS[kind],
  }))
