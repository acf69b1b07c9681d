import fc from 'fast-check'

/** A form, with its Content-Type. */
export interface FormCase {
  contentType: string
  body: Buffer
}

interface Models {
  own: string
  other: string
}

const B = 'b0undary'
const disposition = (parameters: string) => `Content-Disposition: form-data; ${parameters}`
const part = (headers: string | readonly string[], value: string, boundary = B) =>
  `--${boundary}\r\n${[headers].flat().join('\r\n')}\r\n\r\n${value}\r\n`
const field = (name: string, value: string) => part(disposition(`name="${name}"`), value)
const FILE = part(
  [disposition('name="file"; filename="a.wav"'), 'Content-Type: audio/wav'],
  'RIFF\0\xff\r\n--b',
)
const END = `--${B}--\r\n`
const form = (body: string, contentType = `multipart/form-data; boundary=${B}`): FormCase => ({
  contentType,
  body: Buffer.from(body, 'latin1'),
})

/** Forms that clients write: they must be admitted. */
export const ordinaryForms = ({ own }: Models): Record<string, FormCase> => ({
  'the model first': form(field('model', own) + FILE + END),
  'the model last': form(FILE + field('model', own) + END),
  'no line break at the end': form(FILE + field('model', own) + END.trimEnd()),
  'a quoted boundary': form(FILE + field('model', own) + END, `multipart/form-data; boundary="${B}"`),
  'another case of names': form(
    part(disposition('name="model"').replace('Content-Disposition', 'content-disposition'), own) + FILE + END,
    `Multipart/Form-Data; Boundary=${B}`,
  ),
  'a text with its type': form(
    part([disposition('name="model"'), 'Content-Type: text/plain; charset=UTF-8'], own) + FILE + END,
  ),
  'lengths and encodings of parts': form(
    part(
      [disposition('name="model"'), 'Content-Transfer-Encoding: 8bit', `Content-Length: ${own.length}`],
      own,
    ) +
      FILE +
      END,
  ),
  'a list': form(
    field('timestamp_granularities[]', 'word') +
      field('timestamp_granularities[]', 'segment') +
      field('model', own) +
      FILE +
      END,
  ),
})

/** Forms that two parsers may read in two ways, or that steer the engine: they must be rejected. */
export const ambiguousForms = ({ own, other }: Models): Record<string, FormCase> => {
  const [mine, theirs] = [field('model', own), field('model', other)]
  const all = mine + FILE + END
  const of = (contentType: string) => form(all, contentType)
  return {
    'two models': form(mine + theirs + FILE + END),
    'the same model twice': form(mine + mine + FILE + END),
    'no model': form(FILE + END),
    'a model that is a file': form(part(disposition('name="model"; filename="x"'), own) + FILE + END),
    'text before the first part': form(`x\r\n${all}`),
    'a line break before the first part': form(`\r\n${all}`),
    'text after the last part': form(`${all}${theirs}${END}`),
    'no end': form(mine + FILE),
    'a delimiter in a value, without a line break': form(field('prompt', `x--${B}`) + all),
    'a delimiter after a line feed': form(`${field('prompt', `x\n--${B}`)}${all}`),
    'spaces after a delimiter': form(all.replace(`--${B}\r\n`, `--${B}  \r\n`)),
    'line feeds only': form(all.replaceAll('\r\n', '\n')),
    'a longer boundary that begins with it': form(field('prompt', `x\r\n--${B}x\r\n`) + all),
    'an empty part': form(`--${B}\r\n\r\n\r\n${all}`),
    'a part without a name': form(part('Content-Type: text/plain', other) + all),
    'two dispositions': form(
      part([disposition('name="prompt"'), disposition('name="model"')], other) + mine + FILE + END,
    ),
    'two names': form(part(disposition('name="prompt"; name="model"'), other) + mine + FILE + END),
    'an extended name': form(part(disposition("name*=UTF-8''model"), other) + mine + FILE + END),
    'an escaped quote in a name': form(
      part(disposition('name="a\\"; name=\\"model"'), other) + mine + FILE + END,
    ),
    'an unquoted name': form(part(disposition('name=model'), own) + FILE + END),
    'a folded header': form(
      part(['Content-Disposition: form-data;', ' name="model"'], other) + mine + FILE + END,
    ),
    'a NUL in a header': form(part(disposition('name="model\0"'), other) + mine + FILE + END),
    'another encoding of a part': form(
      part([disposition('name="model"'), 'Content-Transfer-Encoding: base64'], 'b3RoZXI=') + FILE + END,
    ),
    'another character set of a part': form(
      part([disposition('name="model"'), 'Content-Type: text/plain; charset=utf-16'], own) + FILE + END,
    ),
    'the field _charset_': form(field('_charset_', 'utf-7') + all),
    'nested forms': form(
      part([disposition('name="x"'), 'Content-Type: multipart/mixed; boundary=y'], '--y\r\n') + all,
    ),
    'a priority': form(field('priority', '-999') + all),
    'a cache salt': form(field('cache_salt', 'x') + all),
    vllm_xargs: form(field('vllm_xargs', '{}') + all),
    'a form of another type': of('application/x-www-form-urlencoded'),
    'no boundary': of('multipart/form-data'),
    'two boundaries': of(`multipart/form-data; boundary=x; boundary=${B}`),
    'an extended boundary': of(`multipart/form-data; boundary*=UTF-8''x; boundary=${B}`),
    'a character set of the form': of(`multipart/form-data; charset=utf-16; boundary=${B}`),
    'another multipart type': of(`multipart/mixed; boundary=${B}`),
  }
}

/** Forms made at random of pieces that parsers look at. The nth is the same for a seed. */
export function randomForms({ own, other }: Models, seed: number, count: number): FormCase[] {
  const piece = fc.constantFrom(
    ...[
      '\r\n',
      '\n',
      '\r',
      '--',
      `--${B}`,
      `--${B}\r\n`,
      `--${B}--`,
      `\r\n--${B}\r\n`,
      B,
      'x',
      '\0',
      ' ',
      ';',
      '"',
    ],
    ...[
      'Content-Disposition: form-data; name="model"',
      'Content-Disposition: form-data; name="prompt"',
      '\r\n\r\n',
    ],
    ...['; filename="a"', 'name="model"', "name*=UTF-8''model", 'Content-Type: text/plain', own, other],
    ...[field('model', own), field('model', other), FILE, END],
  )
  const whole = field('model', own) + FILE + field('prompt', 'Hello') + END
  // A form as clients write it, with something in it or away from it.
  const changed = fc
    .tuple(fc.nat(whole.length), fc.nat(12), fc.array(piece, { maxLength: 4 }))
    .map(([at, removed, added]) => whole.slice(0, at) + added.join('') + whole.slice(at + removed))
  const made = fc.array(piece, { minLength: 3, maxLength: 14 }).map(pieces => pieces.join(''))
  return fc.sample(fc.oneof(changed, changed, made), { seed, numRuns: count }).map(body => form(body))
}
