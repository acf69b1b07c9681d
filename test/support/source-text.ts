/** A piece of text that people read, and the line that it begins on, from 1. */
export interface Prose {
  line: number
  text: string
}

/** Characters and words after which a slash begins a regular expression, not a division. */
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|void|throw|await))\s*$/
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/[a-z]*/y
const STRING = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/y
const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\//y
const TEMPLATE_TEXT = /(?:\\[\s\S]|\$(?!\{)|[^\\`$])*/y

/**
 * The comments of TypeScript or JavaScript, as a text in which everything else is a space, and its string literals, in
 * which placeholders of a template literal are `…`.
 */
export function proseOf(source: string): { comments: string; strings: Prose[] } {
  let comments = ''
  const strings: Prose[] = []
  let i = 0
  let [line, counted] = [1, 0]
  /** Called with ascending offsets. */
  const lineAt = (offset: number): number => {
    line += source.slice(counted, offset).split('\n').length - 1
    counted = offset
    return line
  }
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = i
    const found = pattern.exec(source)?.[0]
    if (found !== undefined) i += found.length
    return found
  }

  /** Reads code up to `end`, or to the end of the source. */
  const code = (end?: string): void => {
    let depth = 0
    while (i < source.length) {
      const start = i
      const next = source[i]
      const comment = match(COMMENT)
      if (comment) comments += blank(source.slice(comments.length, start)) + comment
      else if (next === "'" || next === '"') {
        const text = match(STRING)
        if (text) strings.push({ line: lineAt(start), text: text.slice(1, -1) })
        else i++
      } else if (next === '`') template()
      else if (next === '/' && BEFORE_REGEX.test(source.slice(Math.max(0, i - 20), i)) && match(REGEX))
        continue
      else {
        i++
        if (next === end && depth === 0) return
        if (next === '{') depth++
        if (next === '}') depth--
      }
    }
  }

  const template = (): void => {
    const begin = lineAt(i)
    let text = ''
    i++
    for (;;) {
      text += match(TEMPLATE_TEXT) ?? ''
      if (!source.startsWith('${', i)) break
      i += 2
      code('}')
      text += '…'
    }
    i++
    strings.push({ line: begin, text })
  }

  code()
  return { comments, strings }
}

const blank = (text: string): string => text.replaceAll(/[^\n]/g, ' ')

/** What `comment` matches in a file of another language, as a text in which everything else is a space. */
export function matchedComments(source: string, comment: RegExp): string {
  let comments = ''
  for (const { 0: found, index } of source.matchAll(comment))
    comments += blank(source.slice(comments.length, index)) + found
  return comments
}

/** The same text of the same length with quotations and code as spaces: they may hold any word. */
export function withoutQuotations(text: string): string {
  return text
    .replaceAll(/^ *(```|~~~)[\s\S]*?^ *\1/gm, blank)
    .replaceAll(/`[^`]*`/g, blank)
    .replaceAll(/"[^"\n]*(?:\n[^"\n]*)?"|“[^”]*”/g, blank)
    .replaceAll(/\]\([^)]*\)/g, blank)
}
