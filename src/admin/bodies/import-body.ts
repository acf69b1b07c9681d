import { z } from 'zod'
import { faults } from './problem-body.ts'
import { count, keyId } from './wire.ts'

export const importBody = z
  .strictObject({
    dry_run: z.boolean().describe('Whether this was a dry run, which imports nothing.'),
    created: count.describe('Number of clients imported by this request.'),
    exists: count.describe('Number of clients that were imported earlier, with the same values.'),
    refused: count.describe(
      'Number of invalid clients in a dry run. Without a dry run, an invalid client causes the whole import to be rejected.',
    ),
    rows: z
      .array(
        z.strictObject({
          row: z.int().min(1).describe('Position in `clients`, from 1.'),
          client_id: z.string().describe('Client id as sent.'),
          result: z.enum(['created', 'exists', 'refused']).describe('Result for this client.'),
          key: keyId
            .nullable()
            .describe('Id of the key that has the secret of this client; null if `result` is `refused`.'),
          errors: faults.describe('Invalid fields of this client.'),
        }),
      )
      .describe('One entry for each client, in the order of the request.'),
  })
  .meta({ id: 'ImportReport', description: 'Result of an import, or of its dry run, for each client.' })
