import fc from 'fast-check'

/** Parts of bodies, valid and invalid: names, values, ends, escapes. */
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
/** Bodies close to the boundary of what one of the tests' tokens allows, llama-3-8b. */
export const anyBody = fc.oneof(
  pieces,
  pieces.map(text => `{${text}}`),
  pieces.map(text => `{"model":"llama-3-8b",${text}}`),
  pieces.map(text => `{${text},"model":"llama-3-8b"}`),
  fc.json().map(json => `{"x":${json},"model":"globex-sql"}`),
  fc.json().map(json => `{"model":"llama-3-8b","x":${json}}`),
)

/** The model as an engine reads it; a body that it rejects counts as naming the checked model. */
export function modelOf(text: string): unknown {
  try {
    return JSON.parse(text.replaceAll(/\b(NaN|-?Infinity)\b/g, '0')).model
  } catch {
    return 'llama-3-8b'
  }
}
