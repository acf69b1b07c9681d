import { createRequire } from 'node:module'
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'
import { standardOutput } from './log-destination.ts'

export type { Logger } from 'pino'

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
export function createLogger(level: string, destination?: DestinationStream): Logger {
  if (destination) return loggerTo(destination, level)
  const output = standardOutput()
  const format = process.stdout.isTTY && readableFormat()
  const logger = loggerTo(format ? { write: line => output.write(format(line)) } : output, level)
  // Also where warnings are not logged: so are errors that were lost.
  output.onRecovery = loss => logger.error(loss, 'log lines were dropped')
  return logger
}

function loggerTo(destination: DestinationStream, level: string): Logger {
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
