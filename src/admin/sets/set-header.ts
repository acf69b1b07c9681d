import type { Request } from 'express'
import { Forbidden, Invalid } from '../../errors.ts'
import { LONGEST_NAME_IN_SET, type Membership, type ObjectName, type SetKind } from '../../sets/set-object.ts'
import * as field from '../fields.ts'
import { mayDo, type Role } from '../rights-table.ts'

/** `Mintmark-Set: production/acme%2Fci`: a change for a set, and the name of its object there, percent-encoded. */
export const SET_HEADER = 'Mintmark-Set'

/** Objects that can be in a set, by the beginning of their path, and the path parameter with their id. */
const NAMED: readonly [prefix: RegExp, kind: SetKind, param: string][] = [
  [/^\/tiers\/:name$/, 'tier', 'name'],
  [/^\/models\/:name$/, 'model', 'name'],
  [/^\/adapters\/:name$/, 'adapter', 'name'],
  [/^\/tenants\/:id(\/|$)/, 'tenant', 'id'],
  [/^\/keys\/:id(\/|$)/, 'key', 'id'],
  [/^\/identity-providers\/:id(\/|$)/, 'identity-provider', 'id'],
  [/^\/usage-reporters\/:id(\/|$)/, 'usage-reporter', 'id'],
]
/** Paths where a POST creates one. */
const CREATING = [
  '/tenants',
  '/tenants/:tenant/keys',
  '/tenants/:tenant/workload-keys',
  '/identity-providers',
  '/usage-reporters',
]

interface Operation {
  method: string
  path: string
}

/** Whether the operation changes an object that can be in a set. */
export const takesSet = ({ method, path }: Operation): boolean =>
  method !== 'get' &&
  (NAMED.some(([prefix]) => prefix.test(path)) || (method === 'post' && CREATING.includes(path)))

/** The object in the path of a request; undefined: it has none that can be in a set. */
export function namedObject({ path }: Operation, params: Record<string, string>): ObjectName | undefined {
  const found = NAMED.find(([prefix]) => prefix.test(path))
  return found && { kind: found[1], id: params[found[2]] ?? '' }
}

/**
 * The set that a change is made for. A header that the operation does not support is rejected, because the client relies
 * on it; for reads it is ignored. @throws {Invalid} @throws {Forbidden}
 */
export function membershipOf(operation: Operation, req: Request, role: Role): Membership | undefined {
  const value = req.get(SET_HEADER)
  if (value === undefined || operation.method === 'get') return undefined
  if (!takesSet(operation)) throw refused('is not supported by this operation: remove it')
  if (!mayDo(role, 'sets:write'))
    throw new Forbidden('Missing right: sets:write. Use a token with a role that has it.')
  const [set = '', encoded = '', ...rest] = value.split('/')
  const name = decoded(encoded)
  const isValid =
    rest.length === 0 &&
    field.setName.safeParse(set).success &&
    name !== undefined &&
    nameInSet.safeParse(name).success
  if (!isValid) throw refused('must be the name of a set, "/", and the percent-encoded name of the object')
  return { set, name }
}

export const nameInSet = field
  .text(LONGEST_NAME_IN_SET)
  .min(1, 'must not be empty')
  .refine(name => name.isWellFormed(), 'must be well-formed text')

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const refused = (message: string) =>
  new Invalid([{ pointer: '', message: `Invalid header ${SET_HEADER}: it ${message}` }])
