import type { AdminClient } from '../admin-client.ts'
import type { Document } from './documents.ts'
import { changesBetween, type Fields } from './kinds.ts'
import type { Step } from './step.ts'

/** Fields that a declaration of the policy lacks keep their value: the policy belongs to no set. undefined: nothing differs. */
export async function policyStep(admin: AdminClient, document: Document): Promise<Step | undefined> {
  const { object, etag } = await admin.versioned<{ policy: Fields }>('/installation')
  const changes = changesBetween(object.policy, document.fields)
  if (changes.length === 0) return undefined
  return {
    action: 'update',
    kind: 'policy',
    name: '',
    changes,
    notes: [],
    document,
    perform: async run => {
      const policy = Object.fromEntries(changes.map(({ field, from, to }) => [field, merged(from, to)]))
      await run.admin.with({ 'if-match': etag }).patch('/installation', { policy })
    },
  }
}

/** An audience that is not declared any more is null (RFC 7396). */
function merged(from: unknown, to: unknown): unknown {
  if (typeof to !== 'object' || to === null || Array.isArray(to)) return to
  const gone = Object.keys((from ?? {}) as object).filter(name => !(name in to))
  return { ...to, ...Object.fromEntries(gone.map(name => [name, null])) }
}
