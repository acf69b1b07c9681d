import pg from 'pg'

type Connected = (error: Error | null) => void

/**
 * A client whose URL is read when it is created, and with it the files of certificates that the URL names: both may be
 * replaced while the process runs. What cannot be read fails the connection, and not the pool that creates the client.
 */
export class CurrentClient extends pg.Client {
  readonly #fault: unknown

  constructor(url: () => string, config: pg.ClientConfig) {
    const { complete, fault } = withUrl(url, config)
    super(complete)
    this.#fault = fault
  }

  override connect(): Promise<pg.Client>
  override connect(callback: Connected): void
  override connect(callback?: Connected): Promise<pg.Client> | undefined {
    if (this.#fault === undefined) {
      if (!callback) return super.connect()
      super.connect(callback)
    } else if (callback) {
      queueMicrotask(() => callback(this.#fault as Error))
    } else {
      return Promise.reject(this.#fault)
    }
    return undefined
  }
}

/** The class of the clients of a pool, which creates them with its options. */
export function currentClient(url: () => string): new (config?: pg.ClientConfig) => CurrentClient {
  return class extends CurrentClient {
    constructor(config: pg.ClientConfig = {}) {
      super(url, config)
    }
  }
}

/** pg reads the files that a URL names when it is given one. */
function withUrl(url: () => string, config: pg.ClientConfig): { complete: pg.ClientConfig; fault?: unknown } {
  try {
    const complete = { ...config, connectionString: url() }
    new pg.Client(complete)
    return { complete }
  } catch (fault) {
    return { complete: config, fault }
  }
}
