import { createRequire } from 'node:module'
import { standardOutput } from './log-destination.ts'

/** From the least to the most severe. */
const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
type Level = (typeof LEVELS)[number]
/** Fields and a message, or a message only. An error is the field `err`. */
type Entry = [fields: object, message: string] | [message: string]

/** Writes JSON lines: level, time, fields, message. */
export interface Logger extends Readonly<Record<Level, (...entry: Entry) => void>> {
  isLevelEnabled(level: Level): boolean
  /** A logger whose lines begin with these fields. */
  child(fields: object): Logger
}

/** Receives lines, each with a newline at its end. */
interface Destination {
  write(line: string): void
}

/**
 * The formats of our keys, admin tokens and JWTs. A second line of defence: no code logs one, but one inside a
 * library's message, for example, is redacted.
 */
const CREDENTIALS = /mm[kair]_[0-9A-Za-z]{16}_[0-9A-Za-z]+|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g

export const withoutCredentials = (text: string): string => text.replace(CREDENTIALS, '[redacted]')

/** Errors whose message is sufficient; only unexpected errors are logged with a stack. */
const FORESEEN = new Set([
  'NotReady',
  'Unavailable',
  'InstallationMismatch',
  'KeyDecryptionError',
  'OAuthError',
])

/** Fields, not sentences: `code` and `type` classify the error; messages of foreign errors are kept, bodies never. */
function serializeError(error: unknown, withStack = true): object {
  if (!(error instanceof Error)) return { type: typeof error }
  const { code, cause } = error as Error & { code?: unknown }
  const stack = withStack && !FORESEEN.has(error.name)
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === 'string' && { code }),
    ...(stack && error.stack && { stack: error.stack }),
    ...(cause !== undefined && { cause: serializeError(cause, stack) }),
  }
}

/**
 * JSON lines on stdout, or readable ones when stdout is a terminal and pino-pretty is installed. No call waits for who
 * reads them (log-destination.ts).
 */
export function createLogger(level: string, destination?: Destination): Logger {
  if (destination) return new LineLogger(level, destination)
  const output = standardOutput()
  const format = process.stdout.isTTY && readableFormat()
  const logger = new LineLogger(level, format ? { write: line => output.write(format(line)) } : output)
  // Also where warnings are not logged: so are errors that were lost.
  output.onRecovery = loss => logger.error(loss, 'log lines were dropped')
  return logger
}

class LineLogger implements Logger {
  readonly #level: string
  /** Its place in LEVELS. */
  readonly #least: number
  readonly #destination: Destination
  /** JSON members, each after a comma. */
  readonly #first: string

  /** `level`: the least severe one that is written, or `silent`. */
  constructor(level: string, destination: Destination, first = '') {
    this.#level = level
    this.#least = level === 'silent' ? LEVELS.length : LEVELS.indexOf(level as Level)
    if (this.#least < 0) throw new Error(`there is no log level ${level}`)
    this.#destination = destination
    this.#first = first
  }

  trace(...entry: Entry): void {
    this.#log('trace', entry)
  }

  debug(...entry: Entry): void {
    this.#log('debug', entry)
  }

  info(...entry: Entry): void {
    this.#log('info', entry)
  }

  warn(...entry: Entry): void {
    this.#log('warn', entry)
  }

  error(...entry: Entry): void {
    this.#log('error', entry)
  }

  fatal(...entry: Entry): void {
    this.#log('fatal', entry)
  }

  isLevelEnabled(level: Level): boolean {
    return LEVELS.indexOf(level) >= this.#least
  }

  child(fields: object): Logger {
    return new LineLogger(this.#level, this.#destination, this.#first + membersOf(fields))
  }

  #log(level: Level, entry: Entry): void {
    if (!this.isLevelEnabled(level)) return
    const [message, fields] = entry.length === 1 ? [entry[0], ''] : [entry[1], membersOf(entry[0])]
    const line = `{"level":"${level}","time":"${timestamp()}"${this.#first}${fields},"msg":${JSON.stringify(message)}}\n`
    this.#destination.write(withoutCredentials(line))
  }
}

/** The members of an object in JSON, each after a comma. */
function membersOf(fields: object): string {
  const shown =
    'err' in fields && fields.err !== undefined ? { ...fields, err: serializeError(fields.err) } : fields
  try {
    const json = JSON.stringify(shown)
    return json === '{}' ? '' : `,${json.slice(1, -1)}`
  } catch (error) {
    // A cycle or a BigInt: what is logged must not fail what is logged about.
    return `,"unloggable":${JSON.stringify((error as Error).message)}`
  }
}

const written = { second: Number.NaN, text: '' }

/** RFC 3339 in UTC. The text of a second is cached: formatting it takes as long as the rest of a line. */
function timestamp(): string {
  const now = Date.now()
  const second = Math.floor(now / 1000)
  if (second !== written.second) {
    written.text = new Date(second * 1000).toISOString().slice(0, -'000Z'.length)
    written.second = second
  }
  return `${written.text}${String(now - second * 1000).padStart(3, '0')}Z`
}

/** Undefined where pino-pretty is not installed. */
function readableFormat(): ((line: string) => string) | undefined {
  try {
    const pretty = createRequire(import.meta.url)('pino-pretty') as {
      prettyFactory: (options: object) => (line: string) => string
    }
    return pretty.prettyFactory({ translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname' })
  } catch {
    return undefined
  }
}
