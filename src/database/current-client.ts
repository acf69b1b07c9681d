import pg from 'pg'
import { hasPassword, type PasswordCommand } from '../system/password-command.ts'
import { sessionRefusal } from './postgres-errors.ts'

type Connected = (error: Error | null) => void

/** Where to connect to, read for each connection. */
export interface DatabaseAddress {
  url: () => string
  /** Of a URL that has none; undefined: it connects without one. */
  password?: PasswordCommand | undefined
}

/** The server rejects the role or its password. */
const UNAUTHENTICATED = ['28P01', '28000']

/**
 * A client whose URL is read when it is created, and with it the files of certificates that the URL names: both may be
 * replaced while the process runs. What cannot be read fails the connection, and not the pool that creates the client. A
 * password that a command prints is read before it connects, because the server would wait for it with a connection open.
 */
export class CurrentClient extends pg.Client {
  readonly #fault: unknown
  readonly #command: PasswordCommand | undefined
  readonly #longestWaitMs: number

  constructor({ url, password }: DatabaseAddress, config: pg.ClientConfig) {
    const { complete, fault, hasPassword } = withUrl(url, config)
    super(complete)
    this.#fault = fault
    this.#command = hasPassword ? undefined : password
    // Less than a pool waits, which would not say for what.
    this.#longestWaitMs = 0.8 * (config.connectionTimeoutMillis ?? LONGEST_WAIT_MS)
  }

  override connect(): Promise<pg.Client>
  override connect(callback: Connected): void
  override connect(callback?: Connected): Promise<pg.Client> | undefined {
    if (callback) return void this.#connect(callback)
    return new Promise((resolve, reject) => {
      this.#connect(error => (error ? reject(error) : resolve(this)))
    })
  }

  /** pg calls back while it reads: what comes with the same packet must find the listeners of the pool. */
  #connect(done: Connected): void {
    const connected: Connected = error => done(error && sessionRefusal(error))
    if (this.#fault !== undefined) queueMicrotask(() => connected(this.#fault as Error))
    else if (this.#command) this.#connectWith(this.#command, connected)
    else super.connect(connected)
  }

  #connectWith(command: PasswordCommand, connected: Connected): void {
    const { host, port, user = '' } = this
    const use = { host, port, user }
    const withPassword = (password: string) => {
      Object.assign(this, { password })
      super.connect((error: Error | null) => {
        if (error && UNAUTHENTICATED.includes(String((error as { code?: unknown }).code)))
          command.refuse(use, password)
        connected(error)
      })
    }
    command.within(this.#longestWaitMs, use).then(withPassword, connected)
  }
}

const LONGEST_WAIT_MS = 5_000

/** The class of the clients of a pool, which creates them with its options. */
export function currentClient(address: DatabaseAddress): new (config?: pg.ClientConfig) => CurrentClient {
  return class extends CurrentClient {
    constructor(config: pg.ClientConfig = {}) {
      super(address, config)
    }
  }
}

/** Runs the command once, for a process that does not try to connect again. @throws {PasswordCommandFailed} */
export async function preparePassword({ url, password }: DatabaseAddress): Promise<void> {
  const { complete, hasPassword } = withUrl(url, {})
  if (hasPassword || !password) return
  const { host, port, user = '' } = new pg.Client(complete)
  await password.current({ host, port, user })
}

/** pg reads the files that a URL names when it is given one. */
function withUrl(url: () => string, config: pg.ClientConfig) {
  try {
    const connectionString = url()
    const complete = { ...config, connectionString }
    new pg.Client(complete)
    return { complete, hasPassword: hasPassword(connectionString) }
  } catch (fault) {
    return { complete: config, fault, hasPassword: false }
  }
}
