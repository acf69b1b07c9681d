import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { CliError, EXIT } from '../exit-codes.ts'
import { type Context, readContexts, readStoredToken } from './context-store.ts'

export interface SelectedContext extends Context {
  name: string
}

/** The context `name`, else the current one; undefined: none. @throws {CliError} when `name` does not exist. */
export function selectedContext(
  environment: NodeJS.ProcessEnv,
  name: string | undefined,
): SelectedContext | undefined {
  const { current, contexts } = readContexts(environment)
  const chosen = name ?? current
  if (chosen === null) return undefined
  const found = Object.hasOwn(contexts, chosen) ? contexts[chosen] : undefined
  if (found) return { name: chosen, ...found }
  if (name === undefined) return undefined
  throw new CliError(
    EXIT.usage,
    `there is no context "${name}": "mintmark context list" has those that exist.`,
  )
}

/** The token of a context, from its file or its command. @throws {CliError} */
export function tokenOf(
  environment: NodeJS.ProcessEnv,
  { name, token_command: command }: SelectedContext,
): string {
  return command === undefined ? readStoredToken(environment, name) : tokenFromCommand(environment, command)
}

const LONGEST_COMMAND_MS = 60_000

/** The first line that a command prints. It may ask on the terminal. @throws {CliError} */
export function tokenFromCommand(environment: NodeJS.ProcessEnv, command: string): string {
  const { status, stdout, error } = spawnSync(command, {
    shell: true,
    env: environment,
    stdio: ['inherit', 'pipe', 'inherit'],
    encoding: 'utf8',
    timeout: LONGEST_COMMAND_MS,
  })
  const token = stdout?.split('\n')[0]?.trim() ?? ''
  if (status === 0 && token !== '') return token
  const why = error
    ? (error as NodeJS.ErrnoException).code
    : status === 0
      ? 'it printed nothing'
      : `status ${status}`
  throw new CliError(EXIT.refused, `the command for the token failed (${why}): ${command}`)
}

/** Trusts the certificate authorities of a file in this process, in addition to the usual ones. @throws {CliError} */
export function trustAuthorities(path: string): void {
  try {
    const text = readFileSync(path, 'utf8')
    if (!text.includes('-----BEGIN CERTIFICATE-----')) throw new Error('it has no certificate')
    setDefaultCACertificates([...getCACertificates('default'), text])
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new CliError(
      EXIT.usage,
      `the file of certificate authorities ${path} cannot be used (${code ?? message}).`,
    )
  }
}
