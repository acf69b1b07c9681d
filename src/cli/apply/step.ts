import type { AdminClient } from '../admin-client.ts'
import type { Document } from './documents.ts'
import type { Change } from './kinds.ts'

/** What a run needs and learns: ids of objects that it created, by kind and name. */
export interface Run {
  admin: AdminClient
  set: string
  ids: Map<string, string>
}

/** One change of a plan, for people and to be carried out. */
export interface Step {
  action:
    | 'create'
    | 'update'
    | 'delete'
    | 'adopt'
    | 'release'
    | 'rename'
    | 'write secret of'
    | 'rotate secret of'
    | 'confirm secret of'
    | 'revoke secret of'
  kind: string
  name: string
  changes: readonly Change[]
  /** What else a reader has to know. */
  notes: readonly string[]
  /** Why it cannot be undone; absent: it can. */
  lasting?: string
  /** Where it was declared: faults of the service are shown with its lines. */
  document?: Document
  perform(run: Run): Promise<void>
}

/** The headers of a change for the set. */
export const forSet = (run: Run, name: string, etag?: string): Record<string, string> => ({
  'mintmark-set': `${run.set}/${encodeURIComponent(name)}`,
  ...(etag !== undefined && { 'if-match': etag }),
})
