import { DirectoryIndex } from './directory-index.ts'
import type { KnownContents } from './known-key.ts'
import type { LookupName } from './lookup-names.ts'

/** An index with the contents of another process's. `tokenTtlSeconds` and `maxKeys` are those of this process. */
export function adoptedIndex(
  { priorities, tierLimits, models, modelFacts, overflowed, incomplete, tenants, keys }: KnownContents,
  {
    tokenTtlSeconds,
    maxKeys,
    lookupName,
  }: { tokenTtlSeconds: number; maxKeys: number; lookupName: LookupName },
): DirectoryIndex {
  const catalogue = {
    priorities: new Map(priorities),
    tierLimits: new Map(tierLimits),
    models,
    tokenTtlSeconds,
  }
  const index = new DirectoryIndex({ catalogue, maxKeys, lookupName })
  index.modelFacts = new Map(modelFacts)
  index.overflowed = overflowed
  for (const tenant of tenants) index.putTenant(tenant)
  for (const key of keys) index.put(key)
  for (const id of incomplete) if (!index.has(id)) index.leaveOut(id)
  return index
}
