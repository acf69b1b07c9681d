import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isMap, isSeq, LineCounter, parseAllDocuments, type Document as YamlDocument } from 'yaml'
import { type Declaration, type DeclarationFault, readDeclaration } from '../../admin/sets/declarations.ts'
import { fileFault } from '../../system/file-fault.ts'
import { nearest } from '../../system/nearest-name.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { streams } from '../streams.ts'

/** One document of a file, and where its parts are. */
export interface Document extends Declaration {
  /** `keys.yaml:12 (document 3)`, of a field (RFC 6901) or of the document. */
  at(pointer?: string): string
}

const LONGEST_FILE_BYTES = 16_777_216

/**
 * The documents of files, of the YAML files of folders, and of standard input ("-"), in their order.
 * @throws {CliError} with every fault of every document, each with its file, document and line
 */
export async function readDocuments(paths: readonly string[]): Promise<Document[]> {
  const files = (await Promise.all(paths.map(filesOf))).flat()
  if (new Set(files).size < files.length)
    throw new CliError(EXIT.usage, 'a file is named twice with --filename.')
  const documents: Document[] = []
  const faults: string[] = []
  for (const file of files) {
    const counter = new LineCounter()
    const parsed = parseAllDocuments(await textOf(file), { lineCounter: counter, prettyErrors: false })
    for (const [index, yaml] of [...parsed].entries()) {
      const at = placesOf(yaml, counter, `${shownName(file)}`, index + 1)
      if (yaml.errors.length > 0) {
        // Only the code and the place: the message may repeat what the file has.
        for (const { code, pos } of yaml.errors)
          faults.push(
            `${shownName(file)}:${counter.linePos(pos[0]).line} (document ${index + 1}): not YAML (${code})`,
          )
        continue
      }
      const value: unknown = yaml.toJS({ maxAliasCount: 100 })
      if (value === null) continue
      const read = readDeclaration(value)
      if ('faults' in read) faults.push(...read.faults.map(fault => faultText(fault, at)))
      else documents.push({ ...read, at })
    }
  }
  if (faults.length > 0) throw new CliError(EXIT.usage, 'the files are invalid; nothing was changed:', faults)
  if (documents.length === 0) throw new CliError(EXIT.usage, 'the files have no documents.')
  return documents
}

function faultText({ pointer, message, known }: DeclarationFault, at: Document['at']): string {
  const field = pointer.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
  const meant = known && nearest(field.split('.').at(-1) ?? '', known)
  const hint = meant === undefined ? '' : `. Did you mean ${meant}?`
  return `${at(pointer)}: ${field === '' ? '' : `${field} `}${message}${hint}`
}

/** `pointer` is followed as far as the document has it. */
function placesOf(yaml: YamlDocument, counter: LineCounter, file: string, number: number): Document['at'] {
  return (pointer = '') => {
    let node: unknown = yaml.contents
    let offset = yaml.contents?.range?.[0] ?? yaml.range?.[0] ?? 0
    for (const part of pointer.split('/').slice(1)) {
      const name = part.replaceAll('~1', '/').replaceAll('~0', '~')
      if (isMap(node)) {
        const pair = node.items.find(({ key }) => String((key as { value?: unknown })?.value ?? key) === name)
        if (!pair) break
        offset = (pair.key as { range?: [number] }).range?.[0] ?? offset
        node = pair.value
      } else if (isSeq(node)) {
        node = node.items[Number(name)]
        offset = (node as { range?: [number] } | undefined)?.range?.[0] ?? offset
      } else break
    }
    return `${file}:${counter.linePos(offset).line} (document ${number})`
  }
}

const shownName = (file: string) => (file === '-' ? 'standard input' : file)

async function filesOf(path: string): Promise<string[]> {
  if (path === '-') return [path]
  const isFolder = await reading(path, async () => (await stat(path)).isDirectory())
  if (!isFolder) return [path]
  const names = await reading(path, () => readdir(path))
  const yaml = names.filter(name => /\.ya?ml$/.test(name)).toSorted()
  if (yaml.length === 0) throw new CliError(EXIT.usage, `the folder ${path} has no .yaml file.`)
  return yaml.map(name => join(path, name))
}

async function textOf(file: string): Promise<string> {
  const chunks: Buffer[] = []
  if (file === '-') for await (const chunk of streams().stdin) chunks.push(Buffer.from(chunk))
  else chunks.push(await reading(file, () => readFile(file)))
  const text = Buffer.concat(chunks)
  if (text.length > LONGEST_FILE_BYTES) throw new CliError(EXIT.usage, `${shownName(file)} is too long.`)
  return text.toString('utf8')
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw new CliError(EXIT.usage, `${path} cannot be read: ${fileFault(error) ?? (error as Error).message}.`)
  }
}
