import { gzipSync } from 'node:zlib'
import { MODEL_HEADER } from '../../src/gateway/headers.ts'
import { STEERING_FIELDS } from '../../src/gateway/refused-fields.ts'
import { chat, type Sent } from './client.ts'

const MINE = '"acme-sql"'
const FOREIGN = '"globex-sql"'
const multipart = '--x\r\nContent-Disposition: form-data; name="model"\r\n\r\nacme-sql\r\n--x--\r\n'
const utf16 = Buffer.from(`\ufeff{"model":${FOREIGN}}`, 'utf16le')
const padding = (bytes: number) => `"pad":"${'A'.repeat(bytes)}"`

function names(count: number): string {
  return Array.from({ length: count }, (_, index) => `,"n${index}":1`).join('')
}

const brackets = (values: number, pairs: number) =>
  Array.from({ length: values }, (_, index) => `,"x${index}":[${'[],'.repeat(pairs)}1]`).join('')
const escapes = (count: number) => `"pad":"${'\\"'.repeat(count)}"`

/** Bodies as bytes, and the response. The token allows acme-sql, acme-chat and both base models. */
export const REFUSED_BODIES: [what: string, sent: Sent, status: number][] = [
  ["another tenant's adapter", { body: chat('globex-sql') }, 403],
  ['an unknown model', { body: chat('gpt-4') }, 403],
  ['an adapter in another case', { body: chat('ACME-SQL') }, 403],
  ['two adapters in one name', { body: chat('acme-sql,globex-sql') }, 403],
  ['a part of an adapter', { body: chat('acme') }, 403],
  ['an empty model', { body: chat('') }, 403],
  ['a model with a NUL', { body: '{"model":"acme-sql\\u0000"}' }, 403],
  ['a model that ends in a line', { body: chat('acme-sql\r\nx-vllm-priority: -999') }, 403],
  ['an adapter written with escapes', { body: '{"model":"\\u0061cme-sql"}' }, 403],
  ['none, the word for no adapters', { body: chat('none') }, 403],
  ['a model of 200 bytes', { body: chat('m'.repeat(200)) }, 400],
  ['a number of 2,000 digits', { body: `{"model":${MINE},"n":${'1'.repeat(2_000)}}` }, 400],
  ['1,001 names', { body: `{"model":${MINE}${names(1_000)}}` }, 400],
  ['300,000 brackets', { body: `{"model":${MINE},"x":[${'[],'.repeat(150_000)}1]}` }, 400],
  ['300,000 brackets in four values', { body: `{"model":${MINE}${brackets(4, 37_500)}}` }, 400],
  ['1,000,000 escapes before a foreign model', { body: `{${escapes(1_000_000)},"model":${FOREIGN}}` }, 403],
  ['no model', { body: '{"messages":[]}' }, 400],
  ['an empty body', { body: '', headers: [['Content-Type', 'application/json']] }, 400],
  ...STEERING_FIELDS.map((name): [string, Sent, number] => [
    name,
    { body: `{"model":${MINE},"${name}":{"remote_host":"10.0.0.9"}}` },
    400,
  ]),
  ['cache_salt twice', { body: `{"model":${MINE},"cache_salt":"acme","cache_salt":"globex"}` }, 400],
  ['a model that is null', { body: '{"model":null}' }, 400],
  ['a model that is a number', { body: '{"model":1}' }, 400],
  ['a model that is a list', { body: `{"model":[${MINE}]}` }, 400],
  ['a model that is an object', { body: `{"model":{"model":${MINE}}}` }, 400],
  ['a model deeper down only', { body: `{"request":{"model":${MINE}}}` }, 400],
  ['model twice, the foreign one last', { body: `{"model":${MINE},"model":${FOREIGN}}` }, 400],
  ['model twice, the foreign one first', { body: `{"model":${FOREIGN},"model":${MINE}}` }, 400],
  ['model twice, one in escapes', { body: `{"model":${MINE},"\\u006dodel":${FOREIGN}}` }, 400],
  ['model only in escapes', { body: `{"\\u006dodel":${MINE}}` }, 400],
  [
    'model twice, a nested one between',
    { body: `{"model":${MINE},"a":{"model":1},"model":${FOREIGN}}` },
    400,
  ],
  [
    'a string that hides the end of an object',
    { body: `{"a":"\\\\","model":${FOREIGN},"b":"\\"","model":${MINE}}` },
    400,
  ],
  ['a quote after three backslashes', { body: `{"a":"\\\\\\",\\"model\\":\\"x","model":${FOREIGN}}` }, 403],
  ['brackets in strings', { body: `{"a":{"b":"}]"},"model":${FOREIGN}}` }, 403],
  ['two objects', { body: `{"model":${MINE}}{"model":${FOREIGN}}` }, 400],
  ['a list', { body: `[{"model":${MINE}}]` }, 400],
  ['a string', { body: MINE }, 400],
  ['nothing', { body: '' }, 415],
  ['white space', { body: ' \n' }, 400],
  ['no JSON', { body: `model=acme-sql` }, 400],
  ['an open object', { body: `{"model":${MINE}` }, 400],
  ['an open string', { body: '{"model":"acme-sql' }, 400],
  ['a comma at the end', { body: `{"model":${MINE},}` }, 400],
  ['a comment', { body: `{/*"model":${FOREIGN}*/"model":${MINE}}` }, 400],
  ['single quotes', { body: `{'model':'acme-sql'}` }, 400],
  ['a byte order mark', { body: `\ufeff{"model":${FOREIGN}}` }, 400],
  ['UTF-16, which json.loads reads', { body: utf16 }, 400],
  ['UTF-16 without a mark', { body: utf16.subarray(2) }, 400],
  ['the model after the body limit', { body: `{${padding(4_300_000)},"model":${MINE}}` }, 413],
  [
    'a foreign model after the body limit',
    { body: `{"model":${MINE},${padding(4_300_000)},"model":${FOREIGN}}` },
    413,
  ],
  ['a foreign model just before the limit', { body: `{${padding(4_100_000)},"model":${FOREIGN}}` }, 403],
  ['nesting without end', { body: `{"model":${MINE},"a":${'['.repeat(1_000_000)}` }, 400],
  ['multipart', { body: multipart, contentType: 'multipart/form-data; boundary=x' }, 415],
  ['a form', { body: 'model=acme-sql', contentType: 'application/x-www-form-urlencoded' }, 415],
  [
    'JSON in Latin 1, declared',
    { body: chat('acme-sql'), contentType: 'application/json; charset=iso-8859-1' },
    415,
  ],
  [
    'JSON with another parameter',
    { body: chat('acme-sql'), contentType: 'application/json; version=1' },
    415,
  ],
  [
    'JSON with a longer name',
    { body: chat('acme-sql'), contentType: 'application/jsonx; charset=utf-8' },
    415,
  ],
  ['no media type', { body: chat('acme-sql'), contentType: null }, 415],
  [
    'JSON in UTF-16, declared',
    { body: chat('acme-sql'), contentType: 'application/json; charset=utf-16' },
    415,
  ],
  ['two media types', { body: chat('acme-sql'), headers: [['Content-Type', 'text/plain']] }, 415],
  ['another kind of JSON', { body: chat('acme-sql'), contentType: 'application/vnd.api+json' }, 415],
  ['a compressed body', { body: gzipSync(chat('acme-sql')), headers: [['Content-Encoding', 'gzip']] }, 415],
  [
    'a body that says it is compressed',
    { body: chat('acme-sql'), headers: [['Content-Encoding', 'identity']] },
    415,
  ],
  ['a compressed body that does not say so', { body: gzipSync(chat('acme-sql')) }, 400],
  [
    'a foreign model and a forged model header',
    { body: chat('globex-sql'), headers: [[MODEL_HEADER, 'acme-sql']] },
    403,
  ],
  ['no model and a forged model header', { body: '{}', headers: [[MODEL_HEADER, 'acme-sql']] }, 400],
]

/** Bodies that name a model of the token, one way or another. */
export const READABLE_BODIES: [what: string, body: string][] = [
  ['a slash written as \\/', '{"model":"mistralai\\/Mistral-7B"}'],
  ['the model last', `{"messages":[{"model":"x"}],"n":-1.5e+3,"b":true,"model":${MINE}}`],
  ['white space everywhere', `\n\t {\r\n "model" : ${MINE} , "a" : [ ] } \n`],
  ['1,000 names', `{"model":${MINE}${names(999)}}`],
  ['200,000 brackets', `{"model":${MINE},"x":[${'[],'.repeat(100_000)}1]}`],
  ['1,000,000 escapes', `{${escapes(1_000_000)},"model":${MINE}}`],
  ['4,000,000 backslashes', `{"model":${MINE},"x":"${'\\'.repeat(4_000_000)}"}`],
  ['200,000 escaped quotes', `{"model":${MINE},"x":"${'some text \\"'.repeat(200_000)}"}`],
  ['unknown fields', `{"model":${MINE},"ünï":"\\u0041\\ud83d\\ude00","priority_":1}`],
  ['numbers as only Python takes them', `{"model":${MINE},"a":NaN,"b":-Infinity}`],
]

/** What a body has for `cache_salt`, and what the engine gets where the gateway sets it; acme is the tenant. */
export const SALTS: [written: string | undefined, salt: string][] = [
  [undefined, 'acme'],
  ['"of one user \\" of mine"', 'acme:of one user " of mine'],
  ['"globex"', 'acme:globex'],
  ['""', 'acme:'],
  ['null', 'acme'],
  ['7', 'acme'],
  ['{"cache_salt":"globex"}', 'acme'],
]

/** The body as the client sent it, of one to which the gateway has added the tenant's salt. */
export const withoutSalt = (body: string): string => body.replace(/\{"cache_salt":"[a-z0-9-]+",/, '{')
