import { type Command, InvalidArgumentError, Option } from 'commander'
import { ConfigError } from '../config/env.ts'
import { AdminClient, ApiError, type ChangeHeaders } from './admin-client.ts'
import { confirm, type Irreversible } from './confirmation.ts'
import { fetchThrough } from './connection/fetch-through.ts'
import { Patience } from './connection/patience.ts'
import { CliError, EXIT } from './exit-codes.ts'
import { faultLine, parseWholeNumber } from './field-options.ts'
import { FORMATS, Output, printNotice, type View } from './output.ts'
import { readAdminSettings, retrySeconds } from './settings.ts'

/** Input of a command's action in addition to its arguments. */
export interface Invocation {
  command: Command
  /** Connects on first use, so that faults of the command line are reported before faults of the environment. */
  admin: AdminClient
  output: Output
  /** For a verb that is `irreversible`: asks for the name, unless --yes is given. @throws {CliError} when not confirmed */
  confirm: (action: Irreversible) => Promise<void>
}

interface Help {
  /** One line, for lists of commands. */
  summary: string
  /** Details beyond the summary. */
  details?: string
  /** Complete command lines. */
  examples: readonly string[]
}

/** `mintmark <noun>`: a group of verbs. */
export function noun(program: Command, name: string, help: Help): Command {
  return withHelp(program.command(name).helpCommand(false), help)
}

/** `mintmark <noun> <verb>`, with its help. `usage` is the verb and its arguments. */
export function verb(parent: Command, usage: string, help: Help): Command {
  return withHelp(parent.command(usage), help)
}

/** A verb with a result: adds `-o`, `-q` and `--field`. */
export function resultVerb(parent: Command, usage: string, help: Help & { quiet?: string }): Command {
  return verb(parent, usage, help)
    .addOption(new Option('-o, --output <format>', 'output format').choices(FORMATS).default('table'))
    .addOption(new Option('-q, --quiet', help.quiet ?? 'print only ids').conflicts('output'))
    .addOption(
      new Option('--field <path>', 'print only this field, like "limits.requests_per_day"').conflicts([
        'output',
        'quiet',
      ]),
    )
}

/** A verb that changes an object: adds `--verbose` too. Its action ends with `output.changed`. */
export function changeVerb(parent: Command, usage: string, help: Help & { quiet?: string }): Command {
  return resultVerb(parent, usage, help).option('--verbose', 'print the whole object')
}

/** A verb that lists: adds `--limit` too. */
export function listVerb(parent: Command, usage: string, help: Help): Command {
  const command = resultVerb(parent, usage, help)
  return command.option('--limit <n>', 'list at most this many (default: all)', parseLimit)
}

/** A verb that shows one object: adds `--etag`. */
export function getVerb(parent: Command, usage: string, help: Help): Command {
  const etag = new Option('--etag', 'print only the version, for --if-match').conflicts([
    'output',
    'quiet',
    'field',
  ])
  return resultVerb(parent, usage, help).addOption(etag)
}

/** What a `getVerb` prints of the object at a path of the API. */
export async function show<T extends object>(
  { admin, command, output }: Invocation,
  path: string,
  view: View<T>,
): Promise<void> {
  if (command.opts().etag !== true) return output.object(await admin.get<T>(path), view)
  const etag = await admin.etag(path)
  await output.either({ text: etag, json: etag, id: etag })
}

/** Adds `--if-match` to a verb that changes an object. */
export function conditional(command: Command): Command {
  return command.option('--if-match <etag>', 'change only this version; "get --etag" prints it', quoted)
}

/** Adds `--idempotency-key` to a verb that must not run twice. */
export function repeatable(command: Command): Command {
  return command.option(
    '--idempotency-key <text>',
    'unique name of this request, to retry it safely within 24 hours',
    printableAscii,
  )
}

/**
 * The action of a command: passes its dependencies, and expresses the service's errors in terms of the command's
 * options.
 */
export function action<Arguments extends (string | undefined)[]>(
  environment: NodeJS.ProcessEnv,
  act: (invocation: Invocation, ...given: Arguments) => Promise<void>,
): (...received: unknown[]) => Promise<void> {
  return async (...received) => {
    const command = received.at(-1) as Command
    let admin: AdminClient | undefined
    const invocation: Invocation = {
      command,
      output: new Output(command.opts()),
      confirm: action => confirm(command, environment, action),
      get admin() {
        admin ??= new AdminClient(readAdminSettings(environment), changeHeadersOf(command), {
          send: fetchThrough(environment),
          patience: new Patience(retrySeconds(environment), printNotice),
        })
        return admin
      },
    }
    try {
      await act(invocation, ...(command.processedArgs as Arguments))
    } catch (error) {
      throw inTermsOf(command, error)
    }
  }
}

/** What the service's advice is called in the CLI. */
const ADVICE: Record<string, string> = {
  unauthenticated:
    'Run "mintmark login", or check MINTMARK_ADMIN_TOKEN or the file in MINTMARK_ADMIN_TOKEN_FILE.',
  tenant_has_live_keys: 'To revoke its keys too: --cascade',
  two_live_secrets: 'To select one: --replace oldest or --replace newest',
  key_expired: 'To set it: mintmark key update <key> --expires-at <time>',
  precondition_failed: 'To get its version: "get --etag"',
}

function inTermsOf(command: Command, error: unknown): unknown {
  if (error instanceof ConfigError) return new CliError(EXIT.usage, error.message)
  if (!(error instanceof ApiError)) return error
  if (error.faults.length > 0) {
    return new CliError(
      error.exitCode,
      'the service rejected the request as invalid:',
      error.faults.map(fault => faultLine(command, fault)),
    )
  }
  const advice = ADVICE[error.code]
  return new CliError(
    error.exitCode,
    error.message,
    advice === undefined ? error.details : [...error.details, advice],
  )
}

function changeHeadersOf(command: Command): ChangeHeaders {
  const { ifMatch, idempotencyKey } = command.opts<{ ifMatch?: string; idempotencyKey?: string }>()
  return {
    ...(ifMatch !== undefined && { 'if-match': ifMatch }),
    ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
  }
}

/** The shell removes the quotes of an ETag. */
const quoted = (value: string): string => (/^[\w-]+$/.test(value) ? `"${value}"` : printableAscii(value))

function printableAscii(value: string): string {
  if (!/^[\x21-\x7e]+$/.test(value))
    throw new InvalidArgumentError('It must be printable ASCII without spaces.')
  return value
}

function parseLimit(value: string): number {
  const limit = parseWholeNumber(value)
  if (limit < 1) throw new InvalidArgumentError('It must be 1 or more.')
  return limit
}

function withHelp(command: Command, { summary, details, examples }: Help): Command {
  const title = examples.length === 1 ? 'Example' : 'Examples'
  return command
    .summary(summary)
    .description(details === undefined ? sentence(summary) : `${sentence(summary)}\n\n${details}`)
    .addHelpText('after', `\n${title}:\n${examples.map(line => `  $ ${line}`).join('\n')}`)
}

const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
