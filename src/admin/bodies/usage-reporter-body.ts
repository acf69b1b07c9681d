import { z } from 'zod'
import * as field from '../fields.ts'
import { credential, instant, names, reporterId, secretGone, secretId } from './wire.ts'

const fields = {
  id: reporterId.describe('Id of the usage reporter.'),
  name: z.string().describe('Display name.'),
  audiences: names.describe('Audiences of tokens whose usage it may report.'),
  state: z.enum(['active', 'deleted']).describe('Reports of a deleted one are rejected. Its totals stay.'),
  created_by: z.string().describe('`root`, or the id of the admin token that created it.'),
  created_at: instant.describe('Time of creation.'),
  deleted_at: instant.nullable().describe('Time of deletion; null: not deleted.'),
  secret_id: z.string().describe('Id of the newest secret, as the audit trail names it.'),
  older_secret_ends_at: instant
    .nullable()
    .describe(
      'Time until which the previous secret is accepted; it may be in the past. null: never rotated.',
    ),
}

export const reporterCreate = z
  .strictObject({
    name: field.displayName.default('').describe('Display name.'),
    audiences: field.audiences
      .min(1, 'must have at least one entry')
      .refine(list => new Set(list).size === list.length, 'must not have duplicate entries')
      .describe('Audiences of tokens whose usage it may report.'),
  })
  .meta({ id: 'NewUsageReporter', description: 'Settings of a new usage reporter.' })

export const reporterRotation = z.strictObject(
  field.rotation(
    'If two secrets are valid: which of them to revoke before the new one is created, the older or the newer. null: the rotation of such a reporter gets 409.',
  ),
)

const example = {
  id: 'rep_6Yw2Hs8KqR4nVb1C',
  name: 'envoy in eu-1',
  audiences: ['vllm'],
  state: 'active',
  created_by: 'root',
  created_at: '2026-11-24T09:00:00.000Z',
  deleted_at: null,
  secret_id: 'sec_6Yw2Hs8KqR4nVb1C',
  older_secret_ends_at: null,
} as const

export const reporterInspection = z.strictObject({
  secret: z
    .string('must be text')
    .max(1000, 'must be at most 1000 characters')
    .describe('String to identify, such as a secret found in a log. Mintmark does not store or log it.'),
})

export const usageReporterBody = z.strictObject(fields).meta({
  id: 'UsageReporter',
  description: 'A gateway, or a collector between gateways and Mintmark, that reports usage.',
  examples: [example],
})

const withSecret = z
  .strictObject({
    ...fields,
    secret: credential('mmr').describe(
      'The secret, for `Authorization: Bearer` of the reports. Store it now: it is not returned again.',
    ),
  })
  .meta({
    id: 'UsageReporterWithSecret',
    description:
      'A new or rotated usage reporter with its secret. The secret is returned once; only its HMAC is stored.',
    examples: [
      { ...example, secret: 'mmr_6Yw2Hs8KqR4nVb1C_0000000000000000000000000000000000000000000000000' },
    ],
  })

export const reissuedUsageReporterBody = z.strictObject({ ...fields, ...secretGone }).meta({
  id: 'UsageReporterWithoutSecret',
  description:
    'Response to a repeated request (same `Idempotency-Key`). Only the first response contained the secret.',
})

export const issuedUsageReporterBody = z.union([withSecret, reissuedUsageReporterBody])

export const inspectedReporterBody = z
  .strictObject({
    well_formed: z
      .boolean()
      .describe('Whether the string has the form of a secret of a usage reporter, with a correct checksum.'),
    usage_reporter: usageReporterBody.nullable().describe('The usage reporter; null if it is unknown.'),
    secret_id: secretId.nullable().describe('Id of the secret that matches the string.'),
    secret_ends_at: instant
      .nullable()
      .describe(
        'Time at which this secret ends or ended; null: it is the newest one. No secret of a deleted reporter is accepted.',
      ),
  })
  .meta({
    id: 'InspectedUsageReporter',
    description: 'What is known about a string that looks like the secret of a usage reporter.',
  })
