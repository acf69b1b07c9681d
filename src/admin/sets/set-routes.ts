import { z } from 'zod'
import { SET_KINDS, type SetKind, type SetObject } from '../../sets/set-object.ts'
import type { SetObjects } from '../../sets/set-objects.ts'
import { noContent, ok } from '../answer.ts'
import { setObjectBody } from '../bodies/set-object-body.ts'
import { page as pageOf } from '../bodies/wire.ts'
import type { Cursors } from '../cursor.ts'
import * as field from '../fields.ts'
import { pageBody, pageQuery, pageRequest } from '../paging.ts'
import { type AdminRoute, route } from '../route.ts'
import { nameInSet } from './set-header.ts'

const kind = z.enum(SET_KINDS, `must be one of ${SET_KINDS.join(', ')}`).describe('Kind of the object.')
const id = field.text(300).describe('Id of the object, or the name of a tier, model or adapter.')

const adoption = z
  .strictObject({
    set: field.setName.describe('Name of the set.'),
    kind,
    id,
    name: nameInSet.describe(
      'Name of the object in the set, different from those of all other objects of its kind in the set.',
    ),
  })
  .meta({ id: 'SetAdoption', description: 'An existing object, and the set that takes it over.' })

const renaming = z
  .strictObject({
    from: field.setName.describe('Name of the set.'),
    to: field.setName.describe('Its new name, which no set has.'),
  })
  .meta({ id: 'SetRenaming', description: 'A set, and its new name.' })

const renamedSet = z
  .strictObject({
    set: field.setName.describe('Name of the set.'),
    objects: z.int().describe('Number of objects in it.'),
  })
  .meta({ id: 'RenamedSet', description: 'A set that was renamed.' })

const LIST = '/set-objects'

/** Reads an object of a kind. @throws {NotFound} */
export type ReadObject = Record<SetKind, (id: string) => Promise<unknown>>

/** Which objects belong to which set of `mintmark apply`. */
export function setRoutes(objects: SetObjects, read: ReadObject, cursors: Cursors): AdminRoute[] {
  return [
    route({
      operation: 'listSetObjects',
      summary: 'List objects of sets',
      details: 'An object belongs to at most one set. Objects of no set are not listed.',
      answers: { 200: pageOf(setObjectBody) },
      example: { query: { set: 'production' } },
      method: 'get',
      path: LIST,
      right: 'sets:read',
      query: pageQuery.extend({ set: field.setName.optional().describe('Only objects of this set.') }),
      handle: async ({ query }) => {
        const list = { path: LIST, filter: { set: query.set } }
        const found = await objects.list(query.set, pageRequest(cursors, list, query))
        return ok(pageBody(cursors, list, found, toWire))
      },
    }),
    route({
      operation: 'adoptSetObject',
      summary: 'Adopt an object into a set',
      details:
        'The set may change the object from now on. If the object is in the set already, it is renamed there. An adopted object is never deleted with the set. Idempotent.',
      answers: { 200: setObjectBody },
      conflicts: ['in_another_set', 'name_taken_in_set'],
      notFound: true,
      example: { body: { set: 'production', kind: 'tier', id: 'standard', name: 'standard' } },
      method: 'post',
      path: LIST,
      right: 'sets:write',
      body: adoption,
      handle: async ({ actor, body: { set, name, ...object } }) => {
        await read[object.kind](object.id)
        return ok(toWire(await objects.adopt(actor, object, { set, name })))
      },
    }),
    route({
      operation: 'renameSet',
      summary: 'Rename a set',
      details:
        'All its objects belong to the set with the new name from now on, under the names that they had.',
      answers: { 200: renamedSet },
      conflicts: ['set_exists'],
      notFound: true,
      example: { body: { from: 'production', to: 'eu-production' } },
      method: 'post',
      path: `${LIST}/rename`,
      right: 'sets:write',
      body: renaming,
      handle: async ({ actor, body: { from, to } }) =>
        ok({ set: to, objects: await objects.rename(actor, from, to) }),
    }),
    route({
      operation: 'releaseSetObject',
      summary: 'Release an object from its set',
      details: 'The object stays as it is, and belongs to no set.',
      answers: { 204: null },
      notFound: true,
      example: { query: { kind: 'tier', id: 'standard' } },
      method: 'delete',
      path: LIST,
      right: 'sets:write',
      query: z.strictObject({ kind, id }),
      handle: async ({ actor, query }) => {
        await objects.release(actor, query)
        return noContent
      },
    }),
  ]
}

const toWire = ({ set, kind, id, name, createdBySet, createdBy, createdAt }: SetObject) => ({
  set,
  kind,
  id,
  name,
  created_by_set: createdBySet,
  created_by: createdBy,
  created_at: createdAt,
})
