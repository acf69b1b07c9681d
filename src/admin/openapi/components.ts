/** Headers that many operations share, described once. Names are the wire names without `-`. */

const nameOf = (header: string) => header.replaceAll('-', '')

/** A response header, by reference. */
export const header = (name: string) => ({ $ref: `#/components/headers/${nameOf(name)}` })
/** A request header, by reference. */
export const parameter = (name: string) => ({ $ref: `#/components/parameters/${nameOf(name)}` })

const text = { type: 'string' }
const etags = { type: 'string', pattern: '^(\\*|"[\\x21\\x23-\\x7e]+"(, ?"[\\x21\\x23-\\x7e]+")*)$' }

const ANSWERED = {
  'X-Request-Id': { description: 'The log has the request under it.', required: true, schema: text },
  Location: { description: 'The path of what was made.', required: true, schema: text },
  ETag: { description: 'The version of the object, where the answer is one.', schema: text },
  'Retry-After': { description: 'Seconds.', required: true, schema: { type: 'integer', minimum: 0 } },
  'WWW-Authenticate': { description: 'Bearer.', required: true, schema: text },
  'Idempotency-Replayed': {
    description: 'There for a repetition: nothing was done again.',
    schema: { const: 'true' },
  },
  Link: {
    description:
      'RFC 8288: the next part, `rel="next"`, relative to this address. Not there: this is the last one.',
    schema: text,
  },
}

const SENT = {
  'Idempotency-Key': {
    description: 'Names the request, so that it can be sent again. One for each request.',
    schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
    example: '4f1a3f0e-2f0a-4a52-9a4f-6f0c9f3c7a11',
  },
  'If-Match': {
    description: 'Do this only to the version that the `ETag` names; 412 for another one. `*`: any.',
    schema: etags,
  },
  'If-None-Match': {
    description: 'Not if it is of the version that the `ETag` names. `*`: only if there is none yet.',
    schema: etags,
  },
}

export const HEADERS = Object.fromEntries(
  Object.entries(ANSWERED).map(([name, described]) => [nameOf(name), described]),
)
export const PARAMETERS = Object.fromEntries(
  Object.entries(SENT).map(([name, described]) => [nameOf(name), { name, in: 'header', ...described }]),
)
