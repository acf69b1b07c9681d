import fc from 'fast-check'

/** Pieces that bodies are made of, right and wrong: names, values, ends, escapes. */
const piece = fc.constantFrom(
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    '\\"',
    '\\\\',
    '\\u006d',
    ' ',
    '\n',
    '\0',
    '\ufeff',
    '/**/',
    "'",
  ],
  ...[
    '"model"',
    '"model":',
    '"model":"llama-3-8b"',
    '"model":"globex-sql"',
    ',"model":"globex-sql"',
    '"m\\u006fdel":"globex-sql"',
  ],
  ...['"a":{"model":"globex-sql"}', '"a":"\\"}', '1', 'true', 'null', 'NaN', '"llama-3-8b"', '"globex-sql"'],
)
const pieces = fc.array(piece, { maxLength: 14 }).map(parts => parts.join(''))
/** Bodies that are nearly what one of the tests' tokens allows, llama-3-8b, or nearly not. */
export const anyBody = fc.oneof(
  pieces,
  pieces.map(text => `{${text}}`),
  pieces.map(text => `{"model":"llama-3-8b",${text}}`),
  pieces.map(text => `{${text},"model":"llama-3-8b"}`),
  fc.json().map(json => `{"x":${json},"model":"globex-sql"}`),
  fc.json().map(json => `{"model":"llama-3-8b","x":${json}}`),
)

/** What an engine reads; a body that it refuses names the model that was checked as well as any. */
export function modelOf(text: string): unknown {
  try {
    return JSON.parse(text.replaceAll(/\b(NaN|-?Infinity)\b/g, '0')).model
  } catch {
    return 'llama-3-8b'
  }
}
