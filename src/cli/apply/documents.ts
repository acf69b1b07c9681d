import { readdir, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { LineCounter, parseAllDocuments } from 'yaml'
import { type Declaration, type DeclarationFault, readDeclaration } from '../../admin/sets/declarations.ts'
import { fileFault } from '../../system/file-fault.ts'
import { nearest } from '../../system/nearest-name.ts'
import { oneByOne } from '../../system/one-by-one.ts'
import { CliError, EXIT } from '../exit-codes.ts'
import { shownName, textOf } from '../text-file.ts'
import { contentOf, type Place, placesOf } from './yaml-document.ts'

/** One document of a file, and where its parts are. */
export interface Document extends Declaration {
  /** `keys.yaml:12 (document 3)`, of a field (RFC 6901) or of the document. */
  at(pointer?: string): string
}

const LONGEST_FILE_BYTES = 16_777_216

/**
 * The documents of files, of the YAML files of folders, and of standard input ("-"), in their order.
 * `note` receives a sentence on each folder with YAML files that is not read.
 * @throws {CliError} with every fault of every document, each with its file, document and line
 */
export async function readDocuments(
  paths: readonly string[],
  note: (text: string) => void = () => {},
): Promise<Document[]> {
  const files = (await oneByOne(paths, filesOf)).flat()
  if (new Set(files.map(file => (file === '-' ? file : resolve(file)))).size < files.length)
    throw new CliError(EXIT.usage, 'a file is named twice with --filename.')
  const documents: Document[] = []
  const faults: string[] = []
  for (const file of files) {
    const counter = new LineCounter()
    // "<<" is a merge key as in YAML 1.1, which other tools for such files understand.
    const options = { lineCounter: counter, prettyErrors: false, merge: true, logLevel: 'error' } as const
    const parsed = parseAllDocuments(await textOf(file, LONGEST_FILE_BYTES), options)
    for (const [index, yaml] of [...parsed].entries()) {
      const place = placesOf(yaml, counter, shownName(file), index + 1)
      const content = contentOf(yaml)
      if ('faults' in content) {
        faults.push(...content.faults.map(({ offset, message }) => `${place.of(offset)}: ${message}`))
        continue
      }
      if (content.value === null) continue
      const read = readDeclaration(content.value)
      if ('faults' in read) faults.push(...read.faults.map(fault => faultText(fault, place)))
      else documents.push({ ...read, at: place.at })
    }
  }
  if (faults.length > 0)
    throw new CliError(EXIT.usage, 'the files are invalid; nothing was changed:', [...new Set(faults)])
  if (documents.length === 0) throw new CliError(EXIT.usage, 'the files have no documents.')
  for (const folder of await unreadFolders(paths))
    note(`The folder ${folder} has .yaml files, and is not read: to add it, -f ${folder}.`)
  return documents
}

function faultText({ pointer, message, known }: DeclarationFault, place: Place): string {
  const field = pointer.slice(1).replaceAll('/', '.').replaceAll('~1', '/').replaceAll('~0', '~')
  const meant = known && nearest(field.split('.').at(-1) ?? '', known)
  const quotes = message === 'must be text' && place.isPlain(pointer) ? '. Put it in quotes' : ''
  const hint = meant === undefined ? quotes : `. Did you mean ${meant}?`
  return `${place.at(pointer)}: ${field === '' ? '' : `${field} `}${message}${hint}`
}

async function filesOf(path: string): Promise<string[]> {
  if (path === '-') return [path]
  const isFolder = await reading(path, async () => (await stat(path)).isDirectory())
  if (!isFolder) return [path]
  const names = await reading(path, () => readdir(path))
  const yaml = names.filter(isYaml).toSorted()
  if (yaml.length === 0) throw new CliError(EXIT.usage, `the folder ${path} has no .yaml file.`)
  return yaml.map(name => join(path, name))
}

/** Folders inside of those that are read, with YAML files that nothing reads. Not ".git", nor "..data" of a mounted ConfigMap. */
async function unreadFolders(paths: readonly string[]): Promise<string[]> {
  const read = new Set(paths.map(path => resolve(path)))
  const unread: string[] = []
  for (const path of paths.filter(each => each !== '-')) {
    const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
    for (const entry of entries.filter(each => each.isDirectory() && !each.name.startsWith('.'))) {
      const folder = join(path, entry.name)
      if (read.has(resolve(folder))) continue
      const names = await readdir(folder).catch(() => [])
      if (names.some(isYaml)) unread.push(folder)
    }
  }
  return unread
}

const isYaml = (name: string) => /\.ya?ml$/.test(name)

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    throw new CliError(EXIT.usage, `${path} cannot be read: ${fileFault(error) ?? (error as Error).message}.`)
  }
}
