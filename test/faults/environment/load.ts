import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { ADMIN_HEADERS, FORM_HEADERS, type Replica } from './replica.ts'

/** One kind of request, with its rate and number of kept connections, sent to each of the URLs in turn. */
export interface StreamPlan {
  name: string
  perSecond: number
  connections: number
  urls: readonly string[]
  path: string
  method: string
  headers: Record<string, string>
  /**
   * The exchanged keys: `known key`: each of `secrets` in turn; `unknown key`: a well-formed one, another each time.
   */
  form?: 'known key' | 'unknown key'
  secrets?: readonly string[]
  /** Its source address. */
  localAddress?: string
  /** While this many requests wait for a response, no more are sent. */
  mostUnderWay?: number
  /** Each request has a connection of its own. */
  newConnections?: boolean
  /**
   * All its connections are opened at the start, with a request each, so that none has to be opened later. A process
   * that gets no CPU for five seconds answers 408 to the first request of a new connection.
   */
  connected?: boolean
  /** As a flood: over bare sockets, never more than the connections accept. */
  floods?: boolean
}

export type ToWorker = { type: 'start'; streams: readonly StreamPlan[] } | { type: 'stop' }

export interface FromWorker {
  samples: Record<string, Float64Array>
}

/**
 * A status for requests that were never sent because too many were in progress, or had no response in time while the
 * load process itself stalled. They are not evidence about the service.
 */
export const UNSENT = -1

type Rate = Pick<
  StreamPlan,
  'perSecond' | 'connections' | 'localAddress' | 'floods' | 'newConnections' | 'connected'
>

/** The available streams. */
export const streams = {
  known: (replicas: readonly Replica[], secrets: readonly string[], rate: Rate): StreamPlan => ({
    ...exchanges('known', replicas),
    form: 'known key',
    secrets,
    ...rate,
  }),
  unknown: (replicas: readonly Replica[], rate: Rate): StreamPlan => ({
    ...exchanges('unknown', replicas),
    form: 'unknown key',
    ...rate,
  }),
  jwks: (replicas: readonly Replica[], rate: Rate): StreamPlan => ({
    ...gets('jwks', '/.well-known/jwks.json'),
    urls: replicas.map(({ urls }) => urls.public),
    ...rate,
  }),
  ready: (replicas: readonly Replica[], rate: Rate): StreamPlan => ({
    ...gets('ready', '/readyz'),
    urls: replicas.map(({ urls }) => urls.ops),
    ...rate,
  }),
  adminReads: (replicas: readonly Replica[], rate: Rate): StreamPlan => ({
    ...gets('adminReads', '/admin/v1/tenants'),
    headers: ADMIN_HEADERS,
    urls: replicas.map(({ urls }) => urls.admin),
    ...rate,
  }),
}

const exchanges = (name: string, replicas: readonly Replica[]) => ({
  name,
  urls: replicas.map(({ urls }) => urls.public),
  path: '/oauth/token',
  method: 'POST',
  headers: FORM_HEADERS,
})
const gets = (name: string, path: string) => ({ name, path, method: 'GET', headers: {} })

/** A response of one stream. Instants are milliseconds since the epoch. */
export interface Sample {
  at: number
  ms: number
  /** 0: no answer within 30 s. */
  status: number
  retryAfter: boolean
}

export class Samples {
  /** All that were sent. */
  readonly all: readonly Sample[]
  readonly unsent: number

  constructor(all: readonly Sample[]) {
    this.all = all.filter(({ status }) => status !== UNSENT)
    this.unsent = all.length - this.all.length
  }

  get count(): number {
    return this.all.length
  }

  /** Those that were due in this time. */
  between(from: number, to: number): Samples {
    return new Samples(this.all.filter(({ at }) => at >= from && at < to))
  }

  /** Those that were due and answered in this time. */
  within(from: number, to: number): Samples {
    return new Samples(this.all.filter(({ at, ms }) => at >= from && at + ms < to))
  }

  failing(expected: number): Samples {
    return new Samples(this.all.filter(({ status }) => status !== expected))
  }

  /** Those that are neither `expected` nor 503 with Retry-After, the correct response when a lookup is impossible. */
  wrong(...expected: number[]): Samples {
    return new Samples(this.all.filter(sample => !expected.includes(sample.status) && !isHonest(sample)))
  }

  /** 503 with Retry-After. */
  get honest(): Samples {
    return new Samples(this.all.filter(isHonest))
  }

  /** The duration at this quantile, from 0 to 1, in milliseconds; 1 is the slowest. */
  quantile(part: number): number {
    const sorted = Float64Array.from(this.all, ({ ms }) => ms).sort()
    return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN
  }

  /** Number of responses by status: `200: 500, 503: 2`. */
  get statuses(): string {
    const counts = new Map<number, number>()
    for (const { status } of this.all) counts.set(status, (counts.get(status) ?? 0) + 1)
    return [...counts].map(([status, count]) => `${status}: ${count}`).join(', ')
  }
}

const isHonest = ({ status, retryAfter }: Sample) => status === 503 && retryAfter

/** A load in a separate process. */
export class Load {
  readonly #worker: ChildProcess

  constructor(plans: readonly StreamPlan[]) {
    this.#worker = fork(new URL('load-worker.ts', import.meta.url), { serialization: 'advanced' })
    this.#send({ type: 'start', streams: plans })
  }

  get pid(): number {
    return this.#worker.pid ?? 0
  }

  /** Stops sending; returns the responses by stream. */
  async stop(): Promise<(stream: string) => Samples> {
    this.#send({ type: 'stop' })
    const ended = once(this.#worker, 'exit').then(([code]) => {
      throw new Error(`the load ended by itself, with ${code}`)
    })
    const [{ samples }] = (await Promise.race([once(this.#worker, 'message'), ended])) as [FromWorker]
    const byStream = new Map(
      Object.entries(samples).map(([name, numbers]) => [name, new Samples(read(numbers))]),
    )
    return stream => byStream.get(stream) ?? new Samples([])
  }

  kill(): void {
    this.#worker.kill('SIGKILL')
  }

  #send(message: ToWorker): void {
    this.#worker.send(message)
  }
}

function read(numbers: Float64Array): Sample[] {
  return Array.from({ length: numbers.length / 4 }, (_, index) => {
    const [at = 0, ms = 0, status = 0, retryAfter = 0] = numbers.subarray(index * 4, index * 4 + 4)
    return { at, ms, status, retryAfter: retryAfter === 1 }
  })
}
