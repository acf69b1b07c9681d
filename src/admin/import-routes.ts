import { z } from 'zod'
import { IMPORTED_CLIENT_ID } from '../api-keys/imported/imported-client.ts'
import type { ClientToImport, ImportedClients, ImportedRow } from '../api-keys/imported/imported-clients.ts'
import { LOOKUP_SCHEME } from '../api-keys/imported/lookup-secret.ts'
import { ok } from './answer.ts'
import { importBody } from './bodies/import-body.ts'
import * as field from './fields.ts'
import { settings, toPatch } from './key-routes.ts'
import { type AdminRoute, route } from './route.ts'

export const IMPORT_PATH = '/imported-clients'
export const LONGEST_IMPORT_BYTES = 1_048_576
const MOST_CLIENTS = 1_000

const client = z
  .strictObject({
    client_id: z
      .string('must be text')
      .regex(IMPORTED_CLIENT_ID, 'must be 1 to 128 printable ASCII characters without spaces')
      .describe('Client id in the other system. The client continues to send this id.'),
    tenant: field.tenantId.describe('Tenant that the client belongs to.'),
    scheme: z
      .enum(['bcrypt', 'sha256'], 'must be "bcrypt" or "sha256"')
      .describe('Hash scheme of the secret.'),
    hash: z
      .string('must be text')
      .max(100, 'must be at most 100 characters')
      .describe('Hash of the secret: bcrypt in modular crypt format, or SHA-256 in hexadecimal.'),
    lookup: z
      .boolean('must be true or false')
      .optional()
      .describe(
        'Accept the secret without its client_id, at the token endpoint and at gateways that check API keys. Only with `sha256`, and only for secrets of at least 25 random characters; the secret ends after 180 days at the latest. Default: false.',
      ),
    ends_at: field.instant
      .optional()
      .describe('With `lookup`: time from which the secret is rejected. Default: 180 days from now.'),
    disabled: z
      .boolean('must be true or false')
      .optional()
      .describe('Create the key as disabled, so that it cannot be exchanged. Default: false.'),
    ...z.object(settings).partial().shape,
  })
  .refine(({ scheme, lookup }) => !lookup || scheme === 'sha256', {
    path: ['lookup'],
    message: 'is possible with the scheme sha256 only',
  })
  .meta({ id: 'ClientToImport', description: 'A client of another system, with the settings of its key.' })
const body = z.strictObject({
  clients: z
    .array(client, 'must be a list')
    .min(1, 'must not be empty')
    .max(MOST_CLIENTS, `must have at most ${MOST_CLIENTS} entries`)
    .describe('Clients to import.'),
})
const query = z.strictObject({
  dry_run: field.queryFlag('Only check the clients, and import nothing.'),
})

/** Imports clients of another system with the hashes of their secrets: a whole list or none of it. */
export function importRoutes(clients: ImportedClients): AdminRoute[] {
  return [
    route({
      operation: 'importClients',
      summary: 'Import clients from another system',
      details:
        'Each client becomes a key with the given hash of its secret. Either all clients are imported, or none. A request may have at most 1,000 clients, 32,768 values and 1 MiB.',
      answers: { 200: importBody },
      conflicts: ['client_id_taken', 'too_many_keys'],
      example: {
        query: { dry_run: 'true' },
        body: {
          clients: [
            {
              client_id: 'legacy-client',
              tenant: 'acme',
              scheme: 'sha256',
              hash: '9d0f4c1b7a35e28860d94fd1c2be1f7a0f5bb7d1c7b3d1f2e48fb6a0c1e29d37',
              lookup: true,
            },
          ],
        },
      },
      method: 'post',
      path: IMPORT_PATH,
      right: 'clients:import',
      query,
      body,
      handle: async ({ actor, query: { dry_run }, body }) => {
        const given = body.clients.map(toClient)
        const rows = dry_run ? await clients.rehearse(given) : await clients.import(actor, given)
        return ok({ dry_run, ...counts(rows), rows: rows.map(toWire) })
      },
    }),
  ]
}

function toClient(given: z.output<typeof client>): ClientToImport {
  const { client_id: clientId, tenant: tenantId, scheme, hash, lookup, ends_at, disabled, ...rest } = given
  return {
    clientId,
    tenantId,
    scheme: lookup ? LOOKUP_SCHEME : scheme,
    hash,
    ...(ends_at !== undefined && { endsAt: ends_at }),
    ...(disabled !== undefined && { disabled }),
    settings: toPatch(rest),
  }
}

function counts(rows: readonly ImportedRow[]) {
  const count = (result: ImportedRow['result']) => rows.filter(row => row.result === result).length
  return { created: count('created'), exists: count('exists'), refused: count('refused') }
}

function toWire(row: ImportedRow, index: number) {
  const common = { row: index + 1, client_id: row.clientId, result: row.result }
  return row.result === 'refused'
    ? { ...common, key: null, errors: row.faults }
    : { ...common, key: row.keyId, errors: [] }
}
