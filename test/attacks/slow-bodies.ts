/**
 * Bodies that are slow to read in one way or another, of about so many bytes. None is a request that may succeed. Those in
 * JSON name a model that is not the tenant's.
 */
type Body = (bytes: number) => string

/** `part` as often as it fits, where it is a function with the number of each. */
function filled(bytes: number, part: string | ((n: number) => string)): string {
  if (typeof part === 'string') return part.repeat(Math.floor(bytes / part.length))
  const parts: string[] = []
  for (let length = 0, n = 0; length < bytes; n++) {
    const next = part(n)
    parts.push(next)
    length += next.length
  }
  return parts.join('')
}

const within = (before: string, part: string | ((n: number) => string), after: string): Body => {
  const around = before.length + after.length + 16
  return bytes => before + filled(bytes - around, part) + after
}

export const JSON_BODIES: Readonly<Record<string, Body>> = {
  'a long name': within('{"', 'a', '":1,"model":"x"}'),
  'a long name of escapes': within('{"', '\\u0061', '":1,"model":"x"}'),
  'a long model': within('{"model":"', 'm', '"}'),
  'a long model of escapes': within('{"model":"', '\\u0061', '"}'),
  'a long text': within('{"model":"x","a":"', 'a', '"}'),
  'a long text of escaped quotes': within('{"model":"x","a":"', '\\"', '"}'),
  'a long text of backslashes': within('{"model":"x","a":"', '\\\\', '"}'),
  'a long nested text': within('{"model":"x","messages":["', 'a', '"]}'),
  'a long nested text of escapes': within('{"model":"x","messages":["', '\\u0061', '"]}'),
  'white space': within('{', ' ', '"model":"x"}'),
  'nested white space': within('{"model":"x","messages":[{"url"', ' ', ':"x"}]}'),
  'a long number': within('{"model":"x","n":', '1', '}'),
  'a long nested number': within('{"model":"x","n":[', '1', ']}'),
  'short numbers': within('{"model":"x","n":[1', ',1', ']}'),
  'open lists': within('{"model":"x","a":', '[', ''),
  'open objects': within('{"model":"x","a":', '{"a":', ''),
  'empty lists': within('{"model":"x","a":[[]', ',[]', ']}'),
  'empty objects': within('{"model":"x","a":[{}', ',{}', ']}'),
  'empty texts': within('{"model":"x","a":[""', ',""', ']}'),
  'deep, then wide': bytes => {
    const half = Math.floor(bytes / 4)
    return `{"model":"x","a":${'['.repeat(half)}1${']'.repeat(half)},"b":[${filled(bytes / 2, '[],')}1]}`
  },
  'many names': within('{"model":"x"', n => `,"n${n}":1`, '}'),
  'many equal names': within('{"model":"x"', ',"n":1', '}'),
  'many models': within('{"model":"x"', ',"model":"x"', '}'),
  'many nested names': within('{"model":"x","messages":[{"a":1', n => `,"n${n}":1`, '}]}'),
  'many nested objects': within('{"model":"x","messages":[0', ',{"a":1}', ']}'),
  'almost names of media': within('{"model":"x","messages":[{"a":1', ',"image_embedz":1', '}]}'),
  'almost names of media with escapes': within('{"model":"x","messages":[{"a":1', ',"\\u0075uie":1', '}]}'),
  'names of media': within('{"model":"x","messages":[{"a":1', ',"image_embeds":1', '}]}'),
  'names of media with escapes': within('{"model":"x","messages":[{"a":1', ',"\\u0075uid":1', '}]}'),
  'names of media as values': within('{"model":"x","input":["a"', ',"image_url"', ']}'),
  media: within('{"model":"x","messages":[0', ',{"image_url":{"url":"data:a"}}', ']}'),
}

/** For the admin API, which imports clients. */
export const IMPORT_BODIES: Readonly<Record<string, Body>> = {
  'clients that are numbers': within('{"clients":[1', ',1', ']}'),
  'empty clients': within('{"clients":[{}', ',{}', ']}'),
  'a client with many fields': within('{"clients":[{"a":1', n => `,"n${n}":1`, '}]}'),
  'a client with many labels': within('{"clients":[{"labels":{"a":1', n => `,"n${n}":1`, '}}]}'),
  'a client with many scopes': within('{"clients":[{"scopes":["a"', n => `,"s${n}"`, ']}]}'),
  'clients with faults': within(
    '{"clients":[{"a":1}',
    n => `,{"client_id":"c${n}","tenant":"-","b":1}`,
    ']}',
  ),
  'clients of no tenant': bytes =>
    `{"clients":[${Array.from({ length: Math.min(1_000, Math.floor(bytes / 160)) }, (_, n) => `{"client_id":"c${n}","tenant":"nobody","scheme":"sha256","hash":"${'0'.repeat(64)}","name":"${n}"}`).join(',')}]}`,
}

export const FORM_BODIES: Readonly<Record<string, Body>> = {
  'a long value': within('grant_type=', 'a', ''),
  'a long value of escapes': within('grant_type=', '%41', ''),
  'a long value of wrong escapes': within('grant_type=', '%', ''),
  'plus signs': within('grant_type=client_credentials&scope=', '+', ''),
  'many scopes': within('grant_type=client_credentials&scope=a', '+a', ''),
  'many parameters': within('a=1', '&a=1', ''),
  'empty parameters': within('a=1', '&', ''),
  'equals signs': within('a', '=', ''),
}

/** Of a report of usage as JSON. */
export const OTLP_JSON_BODIES: Readonly<Record<string, Body>> = {
  'many resources': within('{"resourceLogs":[{}', ',{}', ']}'),
  'many scopes': within('{"resourceLogs":[{"scopeLogs":[{}', ',{}', ']}]}'),
  'many records': within('{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}', ',{}', ']}]}]}'),
  'many attributes': within(
    '{"resourceLogs":[{"resource":{"attributes":[{}',
    ',{"key":"a","value":{"stringValue":"a"}}',
    ']}}]}',
  ),
  'a list in an attribute': within(
    '{"resourceLogs":[{"resource":{"attributes":[{"key":"mintmark.audience","value":{"arrayValue":{"values":[{}',
    ',{"stringValue":"a"}',
    ']}}}]}}]}',
  ),
}

/** A field of the wire format with bytes. */
function field(number: number, ...parts: Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const size: number[] = []
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    size.push(rest > 127 ? (rest % 128) + 128 : rest)
    if (rest <= 127) break
  }
  return Buffer.concat([Buffer.from([number * 8 + 2, ...size]), ...parts])
}

const copies = (bytes: number, part: Buffer): Buffer =>
  Buffer.alloc(Math.floor((bytes - 64) / part.length) * part.length, part)
const NOTHING = Buffer.alloc(0)
const resource = (...parts: Buffer[]) => field(1, ...parts)
const AUDIENCE = Buffer.from('mintmark.audience')

/** Of a report of usage as Protocol Buffers: a million fields and more. */
export const OTLP_BODIES: Readonly<Record<string, (bytes: number) => Buffer>> = {
  'empty resources': bytes => copies(bytes, field(1)),
  'empty scopes': bytes => resource(copies(bytes, field(2))),
  'empty records': bytes => resource(field(2, copies(bytes, field(2)))),
  'empty attributes': bytes => resource(field(1, copies(bytes, field(1)))),
  'a record of empty attributes': bytes => resource(field(2, field(2, copies(bytes, field(6))))),
  'attributes of empty fields': bytes => resource(field(1, field(1, copies(bytes, field(1))))),
  'an attribute of long names': bytes =>
    resource(field(1, field(1, copies(bytes, field(1, Buffer.alloc(4_096, 'a')))))),
  'an attribute of short names': bytes => resource(field(1, field(1, copies(bytes, field(1, AUDIENCE))))),
  'a list in an attribute': bytes =>
    resource(
      field(
        1,
        field(1, field(1, AUDIENCE), field(2, field(5, copies(bytes, field(1, field(1, Buffer.from('a'))))))),
      ),
    ),
  'numbers of ten bytes': bytes => copies(bytes, Buffer.from([8, ...Array<number>(9).fill(255), 1])),
  'unknown bytes': bytes => Buffer.alloc(bytes, 255),
  nothing: () => NOTHING,
}
