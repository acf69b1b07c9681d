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

/** The comments and the string literals of TypeScript or JavaScript. Placeholders of a template literal become `…`. */
export function proseOf(source: string): { comments: Prose[]; strings: Prose[] } {
  const comments: Prose[] = []
  const strings: Prose[] = []
  let i = 0
  const lineAt = (offset: number) => source.slice(0, offset).split('\n').length
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
      if (comment) comments.push({ line: lineAt(start), text: comment })
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
    const line = lineAt(i)
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
    strings.push({ line, text })
  }

  code()
  return { comments, strings }
}

/** The comments of a file in another language, by how its lines mark one. */
export function markedComments(source: string, mark: RegExp): Prose[] {
  return source.split('\n').flatMap((text, index) => {
    const found = mark.exec(text)
    return found ? [{ line: index + 1, text: text.slice(found.index) }] : []
  })
}

/** The same text of the same length with quotations and code as spaces: they may hold any word. */
export function withoutQuotations(text: string): string {
  const blank = (found: string) => found.replaceAll(/[^\n]/g, ' ')
  return text
    .replaceAll(/^ *(```|~~~)[\s\S]*?^ *\1/gm, blank)
    .replaceAll(/`[^`]*`/g, blank)
    .replaceAll(/"[^"\n]*(?:\n[^"\n]*)?"|“[^”]*”/g, blank)
    .replaceAll(/\]\([^)]*\)/g, blank)
}
