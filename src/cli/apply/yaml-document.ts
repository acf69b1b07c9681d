import { isMap, isScalar, isSeq, type LineCounter, visit, type Document as YamlDocument } from 'yaml'

/** Where the parts of a document are. */
export interface Place {
  /** `keys.yaml:12 (document 3)`, of a field (RFC 6901) or of the document. */
  at(pointer?: string): string
  of(offset: number): string
  /** Whether the field is a number, a date or a word like `true`, without quotes. */
  isPlain(pointer: string): boolean
}

/** A pointer is followed as far as the document has it. */
export function placesOf(yaml: YamlDocument, counter: LineCounter, file: string, number: number): Place {
  const of = (offset: number) => `${file}:${counter.linePos(offset).line} (document ${number})`
  return {
    of,
    at: (pointer = '') => of(found(yaml, pointer).offset),
    isPlain: pointer => {
      const { node } = found(yaml, pointer)
      return isScalar(node) && node.value !== null && typeof node.value !== 'string'
    },
  }
}

function found(yaml: YamlDocument, pointer: string): { node: unknown; offset: number } {
  let node: unknown = yaml.contents
  let offset = yaml.contents?.range?.[0] ?? yaml.range?.[0] ?? 0
  for (const part of pointer.split('/').slice(1)) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String((key as { value?: unknown })?.value ?? key) === name)
      if (!pair) return { node: undefined, offset }
      offset = (pair.key as { range?: [number] }).range?.[0] ?? offset
      node = pair.value
    } else if (isSeq(node)) {
      node = node.items[Number(name)]
      offset = (node as { range?: [number] } | undefined)?.range?.[0] ?? offset
    } else return { node: undefined, offset }
  }
  return { node, offset }
}

export interface YamlFault {
  offset: number
  message: string
}

/** Of a document; more are those of an alias of aliases of aliases, which has no end. */
const MOST_ALIASES = 100

/** The value of a document, or why it has none. */
export function contentOf(yaml: YamlDocument): { value: unknown } | { faults: YamlFault[] } {
  const faults = unreadable(yaml)
  if (faults.length > 0) return { faults }
  try {
    return { value: yaml.toJS({ maxAliasCount: MOST_ALIASES }) }
  } catch (error) {
    const isMerge = (error as Error).message.startsWith('Merge sources')
    if (!isMerge && !(error instanceof ReferenceError)) throw error
    const message = isMerge
      ? 'the value of a merge key (<<) must be an object, or an alias of one'
      : `more than ${MOST_ALIASES} aliases (*…)`
    return { faults: [{ offset: yaml.range?.[0] ?? 0, message }] }
  }
}

/**
 * Why the value of a document cannot be used: it is not YAML, or it would not mean what it says, as with a tag (`!secret`) that
 * nothing here resolves. Messages have only the code of a fault: more may repeat a secret of the file.
 */
function unreadable(yaml: YamlDocument): YamlFault[] {
  const invalid = [...yaml.errors, ...yaml.warnings].map(({ code, pos }) => ({
    offset: pos[0],
    message: code === 'TAG_RESOLVE_FAILED' ? 'this tag (!…) is not known here' : `not YAML (${code})`,
  }))
  return invalid.length > 0 ? invalid : misused(yaml)
}

function misused(yaml: YamlDocument): YamlFault[] {
  const faults: YamlFault[] = []
  visit(yaml, {
    Pair: (_, { key }) => {
      if (isScalar(key) && key.value === '__proto__')
        faults.push({ offset: key.range?.[0] ?? 0, message: 'the name __proto__ is not allowed' })
    },
    Alias: (_, alias) => {
      if (alias.resolve(yaml)) return undefined
      const message =
        'this alias (*…) has no anchor before it in its document. Put text that begins with * in quotes'
      faults.push({ offset: alias.range?.[0] ?? 0, message })
      return visit.BREAK
    },
  })
  return faults
}
