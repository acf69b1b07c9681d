import { createRequire } from 'node:module'
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino'

export type { Logger } from 'pino'

/**
 * What our keys, admin tokens and JWTs look like. It is the second net: no code of ours logs one, and a line in
 * which one turns up all the same (inside a library's message, say) leaves with it cut out.
 */
const CREDENTIALS = /mm[ka]_[0-9A-Za-z]{16}_[0-9A-Za-z]+|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g

export const withoutCredentials = (text: string): string => text.replace(CREDENTIALS, '[redacted]')

/** Errors whose message says all there is to say: a stack is for what nobody foresaw. */
const FORESEEN = new Set([
  'NotReady',
  'Unavailable',
  'InstallationMismatch',
  'KeyDecryptionError',
  'OAuthError',
])

/** Fields, not sentences: `code` and `type` say what kind of fault it was; messages of foreign errors are kept, bodies never. */
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

/** JSON lines on stdout; readable ones when stdout is a terminal and pino-pretty is installed. */
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

/** RFC 3339 in UTC. The second is written out once for all lines of it: that takes as long as the rest of a line. */
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
 * The lines of one turn of the event loop go to stdout together, at its end: a busy service writes once for many
 * requests. Whatever ends the process after that has nothing to lose, and an exit by itself writes what is left.
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
