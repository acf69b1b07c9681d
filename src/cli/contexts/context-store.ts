import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { CliError, EXIT } from '../exit-codes.ts'

/**
 * contexts/ has the servers that a person has logged in to: a file with their URLs in the configuration folder of the user
 * (XDG Base Directory), and a file of mode 0600 for each token that is stored.
 */

export interface Context {
  url: string
  public_url?: string | undefined
  /** A file of certificate authorities to trust as well. */
  ca_file?: string | undefined
  /** Prints the token: run by the shell each time one is needed. Without it the token is in a file. */
  token_command?: string | undefined
}

export interface Contexts {
  /** Name of the context that commands use. */
  current: string | null
  contexts: Record<string, Context>
}

/** Names are file names too. */
export const CONTEXT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/

const GROUP_OR_OTHERS_WRITE = 0o022
const GROUP_OR_OTHERS = 0o077

/** undefined: the environment names no home folder, so nothing is stored. */
function contextFolder({ XDG_CONFIG_HOME, HOME }: NodeJS.ProcessEnv): string | undefined {
  // The specification has relative paths ignored.
  if (XDG_CONFIG_HOME && isAbsolute(XDG_CONFIG_HOME)) return join(XDG_CONFIG_HOME, 'mintmark')
  return HOME ? join(HOME, '.config', 'mintmark') : undefined
}

/** @throws {CliError} when the file is damaged, or others could have written or replaced it: it names the server that gets the token. */
export function readContexts(environment: NodeJS.ProcessEnv): Contexts {
  const folder = contextFolder(environment)
  const path = folder && join(folder, 'contexts.json')
  const text = path && contentOf(path, GROUP_OR_OTHERS_WRITE)
  if (!text) return { current: null, contexts: {} }
  const contexts = parsed(text)
  if (contexts) return contexts
  throw new CliError(EXIT.usage, `${path} is damaged: delete it, and run "mintmark login" again.`)
}

function parsed(text: string): Contexts | undefined {
  try {
    const { current, contexts } = JSON.parse(text)
    const isContext = (each: Record<string, unknown>) =>
      typeof each.url === 'string' && Object.values(each).every(value => typeof value === 'string')
    const isRight =
      (current === null || typeof current === 'string') &&
      Object.values<Record<string, unknown>>(contexts).every(isContext)
    return isRight ? { current, contexts } : undefined
  } catch {
    return undefined
  }
}

/** @throws {CliError} when the folder cannot be written. */
export function writeContexts(environment: NodeJS.ProcessEnv, contexts: Contexts): void {
  replaceFile(environment, 'contexts.json', `${JSON.stringify(contexts, null, 2)}\n`)
}

/** @throws {CliError} when there is none, or others can read it. */
export function readStoredToken(environment: NodeJS.ProcessEnv, name: string): string {
  const folder = contextFolder(environment) ?? ''
  const token = contentOf(join(folder, `${name}.token`), GROUP_OR_OTHERS)
  if (token === undefined)
    throw new CliError(
      EXIT.refused,
      `the context "${name}" has no token: run "mintmark login --context ${name}".`,
    )
  return token.trim()
}

/** @throws {CliError} when the folder cannot be written. */
export function storeToken(environment: NodeJS.ProcessEnv, name: string, token: string): void {
  replaceFile(environment, `${name}.token`, `${token}\n`)
}

export function removeStoredToken(environment: NodeJS.ProcessEnv, name: string): void {
  rmSync(join(contextFolder(environment) ?? '', `${name}.token`), { force: true })
}

function contentOf(path: string, forbidden: number): string | undefined {
  try {
    refuseOthers(dirname(path), GROUP_OR_OTHERS_WRITE, 700)
    refuseOthers(path, forbidden, 600)
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (error instanceof CliError) throw error
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new CliError(EXIT.usage, `${path} cannot be read (${code}).`)
  }
}

/** What another user but root owns can be written by that user, whatever its mode; and who writes a folder replaces its files. */
function refuseOthers(path: string, forbidden: number, mode: number): void {
  const found = statSync(path)
  // Undefined on Windows, which has neither.
  const self = process.getuid?.()
  if (self === undefined) return
  if (found.uid !== self && found.uid !== 0)
    throw new CliError(
      EXIT.usage,
      `${path} belongs to another user of this machine. Delete it, and run "mintmark login" again, or set XDG_CONFIG_HOME to a folder of your own.`,
    )
  if ((found.mode & forbidden) !== 0)
    throw new CliError(EXIT.usage, `${path} is open to other users of this machine: chmod ${mode} ${path}`)
}

/** Renamed into its place, so that another command never reads half of it. */
function replaceFile(environment: NodeJS.ProcessEnv, name: string, text: string): void {
  const folder = contextFolder(environment)
  if (folder === undefined)
    throw new CliError(EXIT.usage, 'there is no place for contexts: set HOME or XDG_CONFIG_HOME.')
  const path = join(folder, name)
  const temporary = `${path}.${process.pid}.tmp`
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeFileSync(temporary, text, { mode: 0o600 })
    chmodSync(temporary, 0o600)
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw new CliError(EXIT.usage, `${path} cannot be written (${(error as NodeJS.ErrnoException).code}).`)
  }
}
