import { spawn } from 'node:child_process'
import { basename } from 'node:path'
import { type Clock, systemClock } from './clock.ts'
import { withTimeout } from './timeout.ts'

/** Where a password is for: the words `{host}`, `{port}` and `{user}` of the command. */
interface PasswordUse {
  host: string
  port: number
  user: string
}

/** Whether the URL of a database has a password of its own. pg reads one without a host in the same way. */
export function hasPassword(url: string): boolean {
  const { password, searchParams } = new URL(URL.canParse(url) ? url : url.replace('@/', '@socket/'))
  return password !== '' || Boolean(searchParams.get('password'))
}

const LONGEST_RUN_MS = 5_000
/** Tokens of Azure and Google have some kilobytes. */
const LONGEST_PASSWORD_BYTES = 16_384
/** Later it is still used, while the command runs again. */
const FRESH_MS = 30_000
/** RDS accepts a token for 15 minutes. */
const LONGEST_USE_MS = 300_000
/** Between runs, when the command fails or what it prints is refused. */
const PAUSE_MS = 1_000

/** The command printed no password. `code` is for databaseFault. The message has nothing that the command printed. */
class PasswordCommandFailed extends Error {
  override readonly name = 'PasswordCommandFailed'
  readonly code = 'PASSWORD_COMMAND'
}

interface Kept {
  password?: string
  /** Monotonic, of the last run that printed one. */
  at: number
  /** Monotonic, of the last run. */
  begun: number
  /** The server did not accept it. */
  refused?: boolean
  failure?: PasswordCommandFailed
  running?: Promise<string> | undefined
}

/**
 * A program that prints a password for new connections, as cloud providers have them for tokens in place of passwords.
 * It runs without a shell, once at a time for each use; what it prints is kept for five minutes at most, and for less when
 * the server refuses it. Its stderr is discarded, because such programs show tokens there.
 */
export class PasswordCommand {
  readonly #words: readonly string[]
  readonly #environment: NodeJS.ProcessEnv
  readonly #clock: Clock
  readonly #kept = new Map<string, Kept>()

  constructor(options: { words: readonly string[]; environment: NodeJS.ProcessEnv; clock?: Clock }) {
    this.#words = options.words
    this.#environment = options.environment
    this.#clock = options.clock ?? systemClock
  }

  /** The password to connect with now. Waits for the command only where there is none. @throws {PasswordCommandFailed} */
  async current(use: PasswordUse): Promise<string> {
    const kept = this.#keptFor(use)
    const { password, failure, refused } = kept
    const now = this.#clock.monotonicMs()
    const isPaused = now - kept.begun < PAUSE_MS
    if (password !== undefined) {
      if (refused) return isPaused && !kept.running ? password : this.#run(use, kept)
      const age = now - kept.at
      if (age < FRESH_MS) return password
      if (age < LONGEST_USE_MS) {
        if (!isPaused) this.#run(use, kept).catch(() => {})
        return password
      }
    }
    if (!failure) return this.#run(use, kept)
    // Its name is known at once, and not only when a command that hangs is stopped again.
    if (!isPaused) this.#run(use, kept).catch(() => {})
    throw failure
  }

  /** The same, but no longer than `ms`: a command that is slow prints for the next connection. @throws {PasswordCommandFailed} */
  async within(ms: number, use: PasswordUse): Promise<string> {
    const printed = this.current(use).then(password => ({ password }))
    const result = await withTimeout(this.#clock, ms, printed)
    if (result === 'timed_out') throw this.#failed(`has printed no password for ${ms} ms`)
    return result.password
  }

  /** The server refused this password: the next connection gets a new one. */
  refuse(use: PasswordUse, password: string): void {
    const kept = this.#keptFor(use)
    if (kept.password === password) kept.refused = true
  }

  /** The program, without its arguments: they may contain a secret. */
  toJSON(): string {
    return `${this.#words[0]} …`
  }

  #keptFor(use: PasswordUse): Kept {
    const name = JSON.stringify([use.host, use.port, use.user])
    const kept = this.#kept.get(name) ?? { at: 0, begun: Number.NEGATIVE_INFINITY }
    this.#kept.set(name, kept)
    return kept
  }

  #run(use: PasswordUse, kept: Kept): Promise<string> {
    kept.running ??= this.#noted(use, kept).finally(() => {
      kept.running = undefined
    })
    return kept.running
  }

  async #noted(use: PasswordUse, kept: Kept): Promise<string> {
    kept.begun = this.#clock.monotonicMs()
    try {
      const password = await this.#printed(use)
      Object.assign(kept, { password, at: this.#clock.monotonicMs(), refused: false })
      delete kept.failure
      return password
    } catch (error) {
      if (!(error instanceof PasswordCommandFailed)) throw error
      kept.failure = error
      if (kept.refused) delete kept.password
      throw error
    }
  }

  /** Runs the command, in a process group that ends with it. @throws {PasswordCommandFailed} */
  async #printed(use: PasswordUse): Promise<string> {
    const [program = '', ...parameters] = this.#words.map(word =>
      word.replace(/\{(host|port|user)\}/g, (_, name: keyof PasswordUse) => String(use[name])),
    )
    const child = spawn(program, parameters, {
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
      windowsHide: true,
    })
    const stop = () => {
      child.stdout.destroy()
      if (child.pid !== undefined) endGroup(child.pid)
    }
    const ended = new Promise<number | string | null>(resolve => {
      child.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      child.on('close', (status, signal) => resolve(status ?? signal))
    })
    let output = ''
    let isLong = false
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
      isLong = output.length > LONGEST_PASSWORD_BYTES
      if (isLong) stop()
    })
    const status = await withTimeout(this.#clock, LONGEST_RUN_MS, ended)
    stop()
    if (status === 'timed_out') throw this.#failed(`was stopped after ${LONGEST_RUN_MS / 1000} s`)
    if (isLong) throw this.#failed(`printed more than ${LONGEST_PASSWORD_BYTES} bytes`)
    if (status !== 0)
      throw this.#failed(typeof status === 'number' ? `ended with status ${status}` : `failed: ${status}`)
    return this.#checked(output.replace(/\r?\n$/, ''))
  }

  #checked(password: string): string {
    if (password === '') throw this.#failed('printed nothing')
    if (/\p{Cc}/u.test(password)) throw this.#failed('printed more than one line')
    return password
  }

  #failed(how: string): PasswordCommandFailed {
    return new PasswordCommandFailed(`DATABASE_PASSWORD_COMMAND (${basename(this.#words[0] ?? '')}) ${how}`)
  }
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It has ended.
  }
}
