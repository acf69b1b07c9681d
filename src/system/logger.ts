import { createRequire } from 'node:module'
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'

export type { Logger } from 'pino'

/**
 * The formats of our keys, admin tokens and JWTs. A second line of defence: no code logs one, but one inside a
 * library's message, for example, is redacted.
 */
const CREDENTIALS = /mm[ka]_[0-9A-Za-z]{16}_[0-9A-Za-z]+|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g

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

/** JSON lines on stdout; readable lines when stdout is a terminal and pino-pretty is installed. */
export function createLogger(level: string, destination: DestinationStream = standardOutput()): Logger {
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp,
    formatters: { level: label => ({ level: label }) },
    serializers: { err: (error: unknown) => serializeError(error) },
  }
  return pino(options, { write: line => destination.write(withoutCredentials(line)) })
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
  return `,"time":"${written.text}${String(now - second * 1000).padStart(3, '0')}Z"`
}

function standardOutput(): DestinationStream {
  if (!process.stdout.isTTY) return oncePerTurn()
  try {
    const pretty = createRequire(import.meta.url)('pino-pretty') as (options: object) => DestinationStream
    return pretty({ sync: true, translateTime: 'SYS:HH:MM:ss', ignore: 'pid,hostname' })
  } catch {
    return oncePerTurn()
  }
}

const LONGEST_GATHERED_BYTES = 8_192

/**
 * Lines of one turn of the event loop are written to stdout together at its end, so a busy service writes once for many
 * requests. On exit the remaining lines are written synchronously.
 */
function oncePerTurn(): DestinationStream {
  const stdout = pino.destination({ dest: 1, sync: true, minLength: LONGEST_GATHERED_BYTES })
  const flush = () => stdout.flushSync()
  process.on('exit', flush)
  let due = false
  return {
    write: line => {
      stdout.write(line)
      if (due) return
      due = true
      setImmediate(() => {
        due = false
        flush()
      })
    },
  }
}
