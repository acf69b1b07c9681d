/** Headers that many operations share, described once. Names are the wire names without `-`. */

const nameOf = (header: string) => header.replaceAll('-', '')

/** A response header, by reference. */
export const header = (name: string) => ({ $ref: `#/components/headers/${nameOf(name)}` })
/** A request header, by reference. */
export const parameter = (name: string) => ({ $ref: `#/components/parameters/${nameOf(name)}` })

const text = { type: 'string' }
const etags = { type: 'string', pattern: '^(\\*|"[\\x21\\x23-\\x7e]+"(, ?"[\\x21\\x23-\\x7e]+")*)$' }

const ANSWERED = {
  'X-Request-Id': {
    description: 'Id of this request. The access log and the audit trail have it too.',
    required: true,
    schema: text,
  },
  Location: { description: 'Path of the created object.', required: true, schema: text },
  ETag: { description: 'Version of the returned object, for `If-Match` and `If-None-Match`.', schema: text },
  'Retry-After': {
    description: 'Seconds to wait before the next attempt.',
    required: true,
    schema: { type: 'integer', minimum: 0 },
  },
  'WWW-Authenticate': {
    description: 'Authentication scheme of this API: `Bearer`.',
    required: true,
    schema: text,
  },
  'Idempotency-Replayed': {
    description: '`true` if this response repeats an earlier one: the request was not executed again.',
    schema: { const: 'true' },
  },
  Link: {
    description:
      'Address of the next part (RFC 8288, `rel="next"`), relative to the address of this part. Absent on the last part.',
    schema: text,
  },
}

const SENT = {
  'Idempotency-Key': {
    description:
      'Unique name that you choose for this request. To retry the request safely, repeat it with the same value.',
    schema: { type: 'string', pattern: '^[\\x21-\\x7e]{1,255}$' },
    example: '4f1a3f0e-2f0a-4a52-9a4f-6f0c9f3c7a11',
  },
  'If-Match': {
    description:
      'The request is executed only if the object has one of these `ETag`s. Otherwise the response is 412. `*` matches any version.',
    schema: etags,
  },
  'If-None-Match': {
    description:
      'The request is executed only if the object has none of these `ETag`s. Otherwise a GET returns 304, and a change returns 412. `*` matches any version: a PUT with `*` creates an object, and never replaces one.',
    schema: etags,
  },
  'Mintmark-Set': {
    description:
      '`<set>/<name>`: the set that the change is made for, and the name of the object in the set, percent-encoded. An object that the request creates belongs to the set. An object that it changes must belong to the set already, otherwise the response is 409. Requires `sets:write`.',
    schema: { type: 'string', pattern: '^[a-z0-9-]{1,63}/[\\x21-\\x2e\\x30-\\x7e]+$' },
  },
}

export const HEADERS = Object.fromEntries(
  Object.entries(ANSWERED).map(([name, described]) => [nameOf(name), described]),
)
export const PARAMETERS = Object.fromEntries(
  Object.entries(SENT).map(([name, described]) => [nameOf(name), { name, in: 'header', ...described }]),
)
