import { z } from 'zod'
import { count, instant } from './wire.ts'

const hash = z.string().regex(/^[0-9a-f]{64}$/)
const change = z.strictObject({ from: z.unknown().optional(), to: z.unknown().optional() })

export const auditRowBody = z
  .strictObject({
    id: z.int().min(1).describe('The place in the chain, without gaps.'),
    at: instant,
    actor: z.string().describe('`root`, `system`, or the id of an admin token.'),
    action: z.string(),
    outcome: z.enum(['done', 'refused']),
    target_kind: z.string(),
    target_id: z.string(),
    tenant: z.string().nullable(),
    request_id: z.string().nullable(),
    source: z.string().nullable().describe('Address of the caller.'),
    changes: z
      .record(z.string(), change)
      .describe('Field by field, what was and what is now. Never a secret.'),
    previous_hash: hash,
    hash: hash.describe('SHA-256 of the row without this member, as JSON in the form of RFC 8785.'),
  })
  .meta({
    id: 'AuditEvent',
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
    id: count.describe('The place of the last row; 0: there is none.'),
    hash,
    jws: z
      .string()
      .regex(/^[\w-]+\.[\w-]+\.[\w-]+$/)
      .describe('RFC 7515, compact, with its own public key.'),
    key_thumbprint: z.string().describe('RFC 7638: what to compare the key of the JWS with.'),
  })
  .meta({ id: 'AuditCheckpoint', description: 'A signed statement of what the head of the chain was.' })
