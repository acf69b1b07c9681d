import { z } from 'zod'

export const faults = z.array(
  z.strictObject({
    pointer: z
      .string()
      .describe('JSON pointer (RFC 6901) to the field or query parameter; empty for the whole request.'),
    message: z
      .string()
      .describe(
        'What is wrong. The text completes a sentence that begins with the name of the field, like `must be one of allowed_tiers: standard`.',
      ),
  }),
)

export const problemBody = z
  .strictObject({
    type: z
      .string()
      .regex(/^urn:mintmark:problem:[a-z_]+$/)
      .describe('URI of this kind of problem. It contains `code`.'),
    title: z.string().describe('Name of the HTTP status.'),
    status: z.int().min(400).max(599).describe('HTTP status.'),
    detail: z.string().describe('What is wrong and what to do, for people. The text may change.'),
    code: z
      .string()
      .regex(/^[a-z_]+$/)
      .describe('Machine-readable error code. It is stable.'),
    request_id: z.uuid().describe('Id of the request, as in `X-Request-Id` and the access log.'),
    errors: faults
      .optional()
      .describe('One entry for each invalid field. Present only if `code` is `invalid`.'),
  })
  .meta({
    id: 'Problem',
    description: 'Problem details (RFC 9457).',
    examples: [
      {
        type: 'urn:mintmark:problem:invalid',
        title: 'Bad Request',
        status: 400,
        detail: 'The request is invalid: see errors.',
        code: 'invalid',
        request_id: '01966c3e-7a1b-4c7e-8a25-5f0d5e6b7c11',
        errors: [{ pointer: '/tier', message: 'must be one of allowed_tiers: standard' }],
      },
    ],
  })

export const repeatedBody = z
  .strictObject({
    target: z
      .strictObject({
        kind: z.string().describe('Kind of the object, like `key`.'),
        id: z.string().describe('Id of the object.'),
      })
      .nullable()
      .describe('First object that the original request changed; null: the request changed nothing.'),
  })
  .meta({
    id: 'DoneBefore',
    description:
      'Response to a repeated request (same `Idempotency-Key`) that was executed before, if the service stopped before it stored the first response.',
  })
