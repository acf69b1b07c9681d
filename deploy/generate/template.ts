import { readFileSync } from 'node:fs'

/**
 * The template language. `{{name}}` is a value. A line that names a list is written once for each entry of the list,
 * with `{{list.field}}` for one field of the entry; an empty list leaves no line. `{{> file}}` includes another
 * template, with its path relative to this one and the same values. A text of several lines keeps the column where it
 * begins. A name without a value is an error, and so is a value that is not used.
 */
const PLACEHOLDER = /\{\{(> )?([\w./-]+)\}\}/g

type Text = string | number | boolean
export type Values = Readonly<Record<string, Text | readonly (Text | object)[]>>

/**
 * The template at `path`, relative to this folder, with its values. Throws with file and line where they do not match.
 */
export function render(path: string, values: Values): string {
  const used = new Set<string>()
  const text = fill(new URL(path, import.meta.url), values, used)
  const unused = Object.keys(values).filter(name => !used.has(name))
  if (unused.length > 0) throw new Error(`${path} does not use ${unused.join(', ')}`)
  return `${text}\n`
}

function fill(file: URL, values: Values, used: Set<string>): string {
  const lines = withoutLastBreak(readFileSync(file, 'utf8')).split('\n')
  return lines
    .flatMap((line, index) => {
      try {
        return fillLine(line, file, values, used)
      } catch (cause) {
        throw new Error(`${file.pathname}:${index + 1}: ${(cause as Error).message}`, { cause })
      }
    })
    .join('\n')
}

function fillLine(line: string, file: URL, values: Values, used: Set<string>): string[] {
  if (line.replaceAll(PLACEHOLDER, '').includes('{{')) throw new Error('this is not a placeholder')
  const lists = new Set<string>()
  for (const [, include, path = ''] of line.matchAll(PLACEHOLDER)) {
    if (include) continue
    const name = nameOf(path)
    if (!Object.hasOwn(values, name)) throw new Error(`${name} has no value`)
    used.add(name)
    if (Array.isArray(values[name])) lists.add(name)
  }
  if (lists.size > 1) throw new Error(`one line names two lists: ${[...lists].join(', ')}`)

  const [list] = lists
  const entries = list === undefined ? [undefined] : (values[list] as readonly unknown[])
  return entries.map(entry => {
    const filled = line.replaceAll(PLACEHOLDER, (placeholder, include, path, offset) => {
      const text = include
        ? fill(new URL(path, file), values, used)
        : textOf(nameOf(path) === list ? entry : values[nameOf(path)], path)
      return aligned(text, line.slice(0, offset), line.slice(offset + placeholder.length))
    })
    return filled.trim() === '' ? '' : filled
  })
}

const nameOf = (path: string) => path.split('.')[0] ?? ''

function textOf(value: unknown, path: string): string {
  const [, field, ...more] = path.split('.')
  const found = field === undefined ? value : Object(value)[field]
  if (more.length > 0 || !['string', 'number', 'boolean'].includes(typeof found))
    throw new Error(`${path} is not a text`)
  return withoutLastBreak(String(found))
}

/** `text` between `before` and `after` on their line; further lines start in the column of the first. */
function aligned(text: string, before: string, after: string): string {
  if (!text.includes('\n')) return text
  if (!/^\s*(- )?$/.test(before) || after !== '')
    throw new Error('a text of several lines needs a line for itself')
  return text.replaceAll(/\n(?=[^\n])/g, `\n${before.replace('-', ' ')}`)
}

const withoutLastBreak = (text: string) => text.replace(/\n$/, '')
