import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { anyBody } from '../../gateway-configs/any-body.ts'
import { FOREIGN_MODEL, MODEL } from '../installation.ts'

/** A body, with the headers that describe it. */
export interface BodyCase {
  body: Buffer
  headers: Header[]
  /** Ordinary JSON in UTF-8 that names the allowed model once: it must be admitted. */
  isPlain: boolean
  /** How it was made, for a report. */
  how: string
}

/** The cases of this seed. The nth is the same whatever their number. */
export const bodyCases = (seed: number, count: number): BodyCase[] =>
  fc.sample(anyCase(), { seed, numRuns: count })

type Header = [name: string, value: string]
const JSON_TYPE: Header = ['Content-Type', 'application/json']
const FOREIGN = JSON.stringify(FOREIGN_MODEL)
const MINE = JSON.stringify(MODEL)

/** Names and values that are close to "model". */
const NAMES = [
  ...[
    '"\\u006dodel"',
    '"mode\\u006c"',
    '"\\u006D\\u006f\\u0064\\u0065\\u006C"',
    '"Model"',
    '"MODEL"',
    '"model "',
  ],
  ...[
    '" model"',
    '"model\\u0000"',
    '"model\\n"',
    '"m\u043edel"',
    '"\uff4dodel"',
    '"mod\u200bel"',
    '"model\\/"',
  ],
  ...["'model'", 'model', '"mod\\el"', '"m\\odel"', '""', '"model'],
]
const MODELS = [
  ...[FOREIGN, '"gpt-4"', '""', '"none"', 'null', '1', 'true', '[]', '{}', `[${MINE}]`, `{"model":${MINE}}`],
  ...[
    `"${MODEL} "`,
    `" ${MODEL}"`,
    `"${MODEL.toUpperCase()}"`,
    `"${MODEL},${FOREIGN_MODEL}"`,
    `"${MODEL}\\u0000"`,
  ],
  ...['"\\u006clama-3-8b"', '"llama\\u002d3-8b"', `"${MODEL}\\n"`, `"${MODEL}\\ud800"`, '"\\/llama-3-8b"'],
  ...[`'${MODEL}'`, MODEL, `"${MODEL}`, '"llama-3\u20118b"', `"${MODEL}\u0000"`, `"${MODEL}\t"`],
]
const VALUES = [
  ...[
    'NaN',
    'Infinity',
    '-Infinity',
    '-NaN',
    'nan',
    '1e999',
    '-1e-999',
    '00',
    '01',
    '+1',
    '.5',
    '5.',
    '0x10',
    '1_000',
  ],
  ...[
    '1'.repeat(400),
    '1'.repeat(5_000),
    '1E+2',
    '-',
    '--1',
    'undefined',
    'True',
    'None',
    'nul',
    '"\\ud800"',
  ],
  ...[
    '"\\udc00\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\x41"',
    '"\\u12"',
    '"\\q"',
    '"\\u00zz"',
    '"a\nb"',
    '"a\tb"',
    '"a\u0000b"',
  ],
  ...[
    '"\u0085\u2028\u2029"',
    '"\\"}{\\""',
    '"\\\\"',
    '"\\\\\\""',
    '"]}"',
    '"{"',
    '"/*"',
    '"//"',
    '"\u007f"',
    '"\ufffe"',
  ],
  ...['['.repeat(30) + ']'.repeat(30), `${'{"a":'.repeat(30)}1${'}'.repeat(30)}`, '['.repeat(3_000)],
  ...[`{"model":${FOREIGN}}`, `[{"model":${FOREIGN}},{"model":1}]`, `"\\",\\"model\\":\\"${FOREIGN_MODEL}"`],
]
const SPACES = [
  '\u000b',
  '\u000c',
  '\u00a0',
  '\ufeff',
  '\u2028',
  '\u0000',
  '/**/',
  `/*"model":${FOREIGN}*/`,
  '//x\n',
  '#x\n',
  ',',
  ';',
]
const BYTES = [0xff, 0xc0, 0xad, 0xed, 0xa0, 0x80, 0xf5, 0x00, 0x1f, 0x22, 0x5c, 0x7b, 0x7d, 0x2c, 0x3a]
const OTHER_TYPES = [
  ...[
    'application/json; charset=utf-8',
    'application/json;charset="UTF-8"',
    'Application/JSON',
    'application/json;',
  ],
  ...[
    'application/json; charset=utf-16',
    'application/json; charset=latin1',
    'application/json; charset=utf-7',
  ],
  ...[
    'application/json; boundary=x',
    'application/json, text/plain',
    'application/vnd.api+json',
    'text/json',
  ],
  ...[
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
  ],
  ...['application/json\t', 'application/ json', 'application/json; q="a\\"b"', '*/*', ''],
]
const ENCODINGS = ['gzip', 'identity', 'deflate', 'br', 'x-gzip', 'gzip, identity', '', 'utf-8']

type Change = (text: string, pick: <T>(values: readonly T[]) => T, at: number) => string | Buffer
/** What is done to a valid body. */
const CHANGES: Record<string, Change> = {
  'model again, first': (text, pick) => inserted(text, 1, `"model":${pick(MODELS)},`),
  'model again, last': (text, pick) => beforeEnd(text, `,"model":${pick(MODELS)}`),
  'the same model again': text => beforeEnd(text, `,"model":${MINE}`),
  'a name like model, first': (text, pick) =>
    inserted(text, 1, `${pick(NAMES)}:${pick([FOREIGN, MINE, pick(MODELS)])},`),
  'a name like model, last': (text, pick) =>
    beforeEnd(text, `,${pick(NAMES)}:${pick([FOREIGN, MINE, pick(MODELS)])}`),
  'the name replaced': (text, pick) => text.replace('"model"', () => pick(NAMES)),
  'the model replaced': (text, pick) => text.replace(MINE, () => pick(MODELS)),
  'an odd value, first': (text, pick) => inserted(text, 1, `"odd":${pick(VALUES)},`),
  'an odd value, last': (text, pick) => beforeEnd(text, `,"odd":${pick(VALUES)}`),
  'an odd name': (text, pick) => inserted(text, 1, `${pick(VALUES)}:1,`),
  deeper: text => `{"request":${text}}`,
  'deeper, and foreign above': text => `{"request":${text},"model":${FOREIGN}}`,
  'in a list': text => `[${text}]`,
  'as a string': text => JSON.stringify(text),
  twice: text => text + text,
  'a foreign one after it': (text, pick) => `${text}${pick(['', '\n', ',', '\u0000'])}{"model":${FOREIGN}}`,
  'a foreign one before it': (text, pick) => `{"model":${FOREIGN}}${pick(['', '\n', ',', '\u0000'])}${text}`,
  'data after it': (text, pick) => text + pick([...SPACES, 'x', '}', ']', '1', '\n\n']),
  'data before it': (text, pick) => pick([...SPACES, 'x', '{', '[', ")]}'\n", '\u001e']) + text,
  'odd space somewhere': (text, pick, at) => inserted(text, at % (text.length + 1), pick(SPACES)),
  'odd space at a colon': (text, pick) => text.replace(':', () => `${pick(SPACES)}:${pick(SPACES)}`),
  'a comma at the end': text => beforeEnd(text, ','),
  'single quotes': text => text.replaceAll('"', "'"),
  'cut off': (text, _, at) => text.slice(0, at % (text.length + 1)),
  'a character removed': (text, _, at) => {
    const from = at % text.length
    return text.slice(0, from) + text.slice(from + 1)
  },
  'a byte replaced': (text, pick, at) => {
    const bytes = Buffer.from(text)
    bytes[at % bytes.length] = pick(BYTES)
    return bytes
  },
  'a byte inserted': (text, pick, at) => {
    const bytes = Buffer.from(text)
    const from = at % (bytes.length + 1)
    return Buffer.concat([bytes.subarray(0, from), Buffer.from([pick(BYTES)]), bytes.subarray(from)])
  },
  'a byte order mark': text => `\ufeff${text}`,
  'UTF-16': (text, pick) => utf16(pick(['', '\ufeff']) + text, pick([true, false])),
  'UTF-32': (text, pick) => utf32(pick(['', '\ufeff']) + text, pick([true, false])),
  'Latin-1': text => Buffer.from(beforeEnd(text, ',"latin":"\u00e9"'), 'latin1'),
  'half in UTF-16': (text, _, at) => {
    const from = at % (text.length + 1)
    return Buffer.concat([Buffer.from(text.slice(0, from)), utf16(text.slice(from), true)])
  },
  compressed: text => gzipSync(text),
  'a form': () => `model=${FOREIGN_MODEL}&messages=x`,
  multipart: text =>
    `--x\r\nContent-Disposition: form-data; name="model"\r\n\r\n${FOREIGN_MODEL}\r\n--x--\r\n${text}`,
  'many names': text => beforeEnd(text, Array.from({ length: 1_100 }, (_, n) => `,"n${n}":1`).join('')),
  'a long name': text => inserted(text, 1, `"${'n'.repeat(70_000)}":1,`),
}

function anyCase(): fc.Arbitrary<BodyCase> {
  const change = fc.record({
    name: fc.constantFrom(...Object.keys(CHANGES)),
    picks: fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
    at: fc.nat(),
  })
  const described = fc.oneof(
    { weight: 6, arbitrary: fc.constant<Header[]>([JSON_TYPE]) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(...OTHER_TYPES).map((type): Header[] => [['Content-Type', type]]),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(...ENCODINGS).map((of): Header[] => [JSON_TYPE, ['Content-Encoding', of]]),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(...OTHER_TYPES).map((type): Header[] => [JSON_TYPE, ['content-type', type]]),
    },
    { weight: 1, arbitrary: fc.constant<Header[]>([]) },
  )
  const plain = plainText.map(({ text, model }): BodyCase => {
    return { body: Buffer.from(text), headers: [JSON_TYPE], isPlain: model === MODEL, how: `plain, ${model}` }
  })
  const changed = fc.tuple(plainText, fc.array(change, { minLength: 1, maxLength: 3 }), described).map(
    ([{ text }, changes, headers]): BodyCase => ({
      body: Buffer.from(changes.reduce<string | Buffer>(apply, text)),
      headers,
      isPlain: false,
      how: [...changes.map(({ name }) => name), ...headers.map(header => header.join(': '))].join(' + '),
    }),
  )
  const otherwise = fc.tuple(plainText, described).map(
    ([{ text }, headers]): BodyCase => ({
      body: Buffer.from(text),
      headers,
      isPlain: false,
      how: headers.map(header => header.join(': ')).join(' + '),
    }),
  )
  const pieces = anyBody.map((text): BodyCase => {
    return { body: Buffer.from(text), headers: [JSON_TYPE], isPlain: false, how: 'pieces' }
  })
  return fc.oneof(
    { weight: 2, arbitrary: plain },
    { weight: 10, arbitrary: changed },
    { weight: 2, arbitrary: otherwise },
    { weight: 2, arbitrary: pieces },
  )
}

/** Once it is bytes that are no text, further changes leave it as it is. */
function apply(
  text: string | Buffer,
  { name, picks, at }: { name: string; picks: number[]; at: number },
): string | Buffer {
  if (typeof text !== 'string' || text.length === 0) return text
  let picked = 0
  const pick = <T>(values: readonly T[]): T =>
    values[(picks[picked++ % picks.length] ?? 0) % values.length] as T
  return CHANGES[name]?.(text, pick, at) ?? text
}

const inserted = (text: string, at: number, more: string) => text.slice(0, at) + more + text.slice(at)
const beforeEnd = (text: string, more: string) => inserted(text, text.lastIndexOf('}'), more)

function utf16(text: string, bigEndian: boolean): Buffer {
  const bytes = Buffer.from(text, 'utf16le')
  return bigEndian ? bytes.swap16() : bytes
}

function utf32(text: string, bigEndian: boolean): Buffer {
  const points = [...text].map(each => each.codePointAt(0) ?? 0)
  const bytes = Buffer.alloc(points.length * 4)
  points.forEach((point, n) => {
    if (bigEndian) bytes.writeUInt32BE(point, n * 4)
    else bytes.writeUInt32LE(point, n * 4)
  })
  return bytes
}

/** Well-formed text of any language, as people send it. */
const content = fc.string({ unit: 'binary', maxLength: 40 }).map(text => text.toWellFormed())
const tool = fc.record({
  type: fc.constant('function'),
  function: fc.record({
    name: fc.constantFrom('lookup', 'model'),
    parameters: fc.constant({
      type: 'object',
      properties: { model: { type: 'string', enum: [FOREIGN_MODEL] } },
    }),
  }),
})
const message = fc.record({ role: fc.constantFrom('user', 'system', 'assistant'), content })
const settings = fc.record(
  {
    stream: fc.boolean(),
    temperature: fc.double({ min: 0, max: 2, noNaN: true }),
    max_tokens: fc.nat(),
    seed: fc.maxSafeInteger(),
    stop: fc.oneof(content, fc.array(content, { maxLength: 3 }), fc.constant(null)),
    metadata: fc.dictionary(fc.constantFrom('model', 'user', 'a', 'ünï'), content, { maxKeys: 3 }),
    tools: fc.array(tool, { maxLength: 2 }),
    user: content,
  },
  { requiredKeys: [] },
)
/** Of chat, completions, responses, embeddings and messages. */
const question = fc.oneof(
  fc.record({ messages: fc.array(message, { minLength: 1, maxLength: 3 }) }),
  fc.record({ prompt: fc.oneof(content, fc.array(content, { maxLength: 3 })) }),
  fc.record({ input: fc.oneof(content, fc.array(message, { maxLength: 2 })) }),
  fc.record({ messages: fc.array(message, { minLength: 1 }), max_tokens: fc.nat(), system: content }),
)

const plainText = fc
  .tuple(
    question,
    settings,
    fc.constantFrom(MODEL, MODEL, MODEL, FOREIGN_MODEL),
    fc.nat(),
    fc.constantFrom(0, 0, 2, '\t'),
  )
  .map(([asked, more, model, at, indent]) => {
    const members = Object.entries({ ...asked, ...more })
    members.splice(at % (members.length + 1), 0, ['model', model])
    return { text: JSON.stringify(Object.fromEntries(members), undefined, indent), model }
  })
