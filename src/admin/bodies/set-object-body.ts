import { z } from 'zod'
import { LONGEST_NAME_IN_SET, SET_KINDS, SET_NAME } from '../../sets/set-object.ts'
import { instant } from './wire.ts'

export const setObjectBody = z
  .strictObject({
    set: z.string().regex(SET_NAME).describe('Name of the set.'),
    kind: z.enum(SET_KINDS).describe('Kind of the object.'),
    id: z.string().describe('Id of the object, or the name of a tier, model or adapter.'),
    name: z.string().max(LONGEST_NAME_IN_SET).describe('Name of the object in the set.'),
    created_by_set: z
      .boolean()
      .describe('Whether the set created the object. An object that it adopted is not deleted with the set.'),
    created_by: z.string().describe('`root`, or the id of the admin token that put it into the set.'),
    created_at: instant.describe('Time since which it is in the set.'),
  })
  .meta({
    id: 'SetObject',
    description: 'An object that belongs to a set of `mintmark apply`.',
    examples: [
      {
        set: 'production',
        kind: 'key',
        id: 'key_7Hq2kd9XwP3mZt5B',
        name: 'acme/ci',
        created_by_set: true,
        created_by: 'adm_2Vb6Nc4RtY8wQk3Z',
        created_at: '2026-11-24T09:00:00.000Z',
      },
    ],
  })
