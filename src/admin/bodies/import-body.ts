import { z } from 'zod'
import { faults } from './problem-body.ts'
import { count, keyId } from './wire.ts'

export const importBody = z
  .strictObject({
    dry_run: z.boolean(),
    created: count,
    exists: count.describe('Imported just so before.'),
    refused: count.describe('In a dry run only: an import with one such row is refused as a whole.'),
    rows: z.array(
      z.strictObject({
        row: z.int().min(1),
        client_id: z.string(),
        result: z.enum(['created', 'exists', 'refused']),
        key: keyId.nullable(),
        errors: faults,
      }),
    ),
  })
  .meta({ id: 'ImportReport', description: 'What became of each client, or would.' })
