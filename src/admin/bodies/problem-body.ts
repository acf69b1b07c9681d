import { z } from 'zod'

export const faults = z.array(
  z.strictObject({
    pointer: z.string().describe('RFC 6901; the whole request where it is empty.'),
    message: z.string().describe('Completes the sentence "<field> …".'),
  }),
)

export const problemBody = z
  .strictObject({
    type: z.string().regex(/^urn:mintmark:problem:[a-z_]+$/),
    title: z.string(),
    status: z.int().min(400).max(599),
    detail: z.string().describe('For people.'),
    code: z
      .string()
      .regex(/^[a-z_]+$/)
      .describe('For programs: stable.'),
    request_id: z.uuid().describe('The log has the request under it.'),
    errors: faults.optional().describe('Each field that is wrong.'),
  })
  .meta({
    id: 'Problem',
    description: 'RFC 9457.',
    examples: [
      {
        type: 'urn:mintmark:problem:invalid',
        title: 'Bad Request',
        status: 400,
        detail: 'The request is not valid: errors says which fields and why.',
        code: 'invalid',
        request_id: '01966c3e-7a1b-4c7e-8a25-5f0d5e6b7c11',
        errors: [{ pointer: '/tier', message: 'must be one of allowed_tiers, which has standard' }],
      },
    ],
  })

export const repeatedBody = z
  .strictObject({
    target: z.strictObject({ kind: z.string(), id: z.string() }).nullable(),
  })
  .meta({
    id: 'DoneBefore',
    description:
      'A repetition under an Idempotency-Key, when the service died between its commit and its answer: what the first request changed first; null: it changed nothing.',
  })
