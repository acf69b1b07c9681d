import { z } from 'zod'

export const faults = z.array(
  z.strictObject({
    pointer: z
      .string()
      .describe('JSON pointer (RFC 6901) to the field or query parameter; empty for the whole request.'),
    message: z.string().describe('What is wrong, as the rest of a sentence that begins with the field.'),
  }),
)

export const problemBody = z
  .strictObject({
    type: z
      .string()
      .regex(/^urn:mintmark:problem:[a-z_]+$/)
      .describe('Kind of problem as a URI, which contains `code`.'),
    title: z.string().describe('Name of the HTTP status.'),
    status: z.int().min(400).max(599).describe('HTTP status.'),
    detail: z.string().describe('What is wrong and what to do, for people. It may change.'),
    code: z
      .string()
      .regex(/^[a-z_]+$/)
      .describe('Kind of problem for programs. It is stable.'),
    request_id: z.uuid().describe('Id of the request, as in `X-Request-Id` and the access log.'),
    errors: faults.optional().describe('Each invalid field. Only for `code` `invalid`.'),
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
        errors: [{ pointer: '/tier', message: 'must be one of allowed_tiers, which has standard' }],
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
      .describe('First object that the original request changed; null: it changed nothing.'),
  })
  .meta({
    id: 'DoneBefore',
    description:
      'Answer to a repetition under an Idempotency-Key whose first answer was lost: the service stopped between commit and answer.',
  })
