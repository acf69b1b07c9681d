import { z } from 'zod'
import { count, instant } from './wire.ts'

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const change = z.strictObject({
  from: z.unknown().optional().describe('Value before the change; absent for a new field.'),
  to: z.unknown().optional().describe('Value after the change; absent for a removed field.'),
})

export const auditRowBody = z
  .strictObject({
    id: z.int().min(1).describe('Position in the chain, from 1 without gaps.'),
    at: instant.describe('Time of the event.'),
    actor: z
      .string()
      .describe(
        'Caller: `root`, `system`, the id of an admin token, the id of a key (a client that revoked its own token), or `unknown` (a rejected credential).',
      ),
    action: z.string().describe('What was done or attempted, like `key.revoke`.'),
    outcome: z
      .enum(['done', 'refused'])
      .describe('`done`, or `refused`: the request was rejected, and nothing changed.'),
    target_kind: z.string().describe('Kind of the object, like `key`.'),
    target_id: z.string().describe('Id of the object.'),
    tenant: z
      .string()
      .nullable()
      .describe('Tenant of the object; null for objects that belong to no tenant.'),
    request_id: z.string().nullable().describe('Id of the request; null for events of the service itself.'),
    source: z.string().nullable().describe('Address of the caller; null for events of the service itself.'),
    changes: z
      .record(z.string(), change)
      .describe('Changed fields with their old and new values. Secrets never appear.'),
    previous_hash: hash.describe('`hash` of the row before this one.'),
    hash: hash.describe('SHA-256 of this row as canonical JSON (RFC 8785), without the member `hash`.'),
  })
  .meta({
    id: 'AuditEvent',
    description: 'One row of the audit trail: a change or a rejected request.',
    examples: [
      {
        id: 4711,
        at: '2026-11-24T09:00:00.000000Z',
        actor: 'root',
        action: 'key.revoke',
        outcome: 'done',
        target_kind: 'key',
        target_id: 'key_7Hq2kd9XwP3mZt5B',
        tenant: 'acme',
        request_id: '01966c3e-7a1b-4c7e-8a25-5f0d5e6b7c11',
        source: '10.0.0.7',
        changes: { revokedReason: { from: null, to: 'leaked' } },
        previous_hash: '0'.repeat(64),
        hash: 'f'.repeat(64),
      },
    ],
  })

export const checkpointBody = z
  .strictObject({
    id: count.describe('Position of the last row; 0 for an empty trail.'),
    hash: hash.describe('`hash` of the last row.'),
    jws: z
      .string()
      .regex(/^[\w-]+\.[\w-]+\.[\w-]+$/)
      .describe(
        'The statement as a compact JWS (RFC 7515). Its header contains the public key that verifies it.',
      ),
    key_thumbprint: z
      .string()
      .describe(
        'RFC 7638 thumbprint of the key that signed the checkpoint. Store it apart from the checkpoints: `mintmark audit verify --key` trusts only checkpoints that are signed with this key.',
      ),
  })
  .meta({ id: 'AuditCheckpoint', description: 'A signed statement about the last row of the audit trail.' })
