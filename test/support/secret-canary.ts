/**
 * Searches for secrets in text, in every possible encoding: unchanged, URL-encoded, in base64 at each of the three
 * alignments, in base64url, and in hex.
 */
export interface Canary {
  name: string
  value: string | Buffer
}

/** Names of the canaries that the text contains, each with its encoding. */
export function findCanaries(text: string, canaries: readonly Canary[]): string[] {
  const lowered = text.toLowerCase()
  return canaries.flatMap(({ name, value }) =>
    formsOf(value)
      .filter(({ form, exact }) => (exact ? text : lowered).includes(form))
      .map(({ how }) => `${name} ${how}`),
  )
}

function formsOf(value: string | Buffer) {
  const bytes = Buffer.from(value)
  const text =
    typeof value === 'string' ? [{ how: 'as it is', form: value, exact: true }, ...urlForms(value)] : []
  const hex = { how: 'in hex', form: bytes.toString('hex'), exact: false }
  return [...text, hex, ...[0, 1, 2].flatMap(offset => base64Forms(bytes, offset))]
}

function urlForms(value: string) {
  const form = encodeURIComponent(value)
  return form === value ? [] : [{ how: 'URL-encoded', form, exact: true }]
}

/** What base64 must contain for any data with these bytes at `offset`. */
function base64Forms(bytes: Buffer, offset: number) {
  const padded = Buffer.concat([Buffer.alloc(offset), bytes])
  const whole = padded.toString('base64').replace(/=+$/, '')
  const end = Math.floor((padded.length * 8) / 6)
  const form = whole.slice(offset === 0 ? 0 : offset + 1, end)
  const url = form.replaceAll('+', '-').replaceAll('/', '_')
  return [
    { how: 'in base64', form, exact: true },
    ...(url === form ? [] : [{ how: 'in base64url', form: url, exact: true }]),
  ]
}
