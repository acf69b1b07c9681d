import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'

/** The honest client's User-Agent, by which the engine distinguishes it from what an attack brought through. */
export const HONEST_AGENT = 'honest-client'

export interface HonestPlan {
  over: 'http' | 'grpc'
  /** The base URL. */
  url: string
  path: string
  /** Used in turn. */
  credentials: readonly string[]
  perSecond: number
}

/** A request that was not sent, because too many were without an answer: no evidence about the gateway. */
export const UNSENT = -1

/** From the time at which the request was due. Status 0: no answer. */
export interface HonestSample {
  ms: number
  status: number
}

export type ToHonest = { type: 'use'; plan: HonestPlan } | { type: 'start' } | { type: 'stop' }
export type FromHonest =
  | { type: 'engine'; port: number }
  | { type: 'stopped'; samples: HonestSample[]; strays: number }

/** The process with the honest client and the engine behind the gateway. */
export class Honest {
  readonly #child: ChildProcess
  readonly enginePort: number

  private constructor(child: ChildProcess, enginePort: number) {
    this.#child = child
    this.enginePort = enginePort
  }

  static async start(): Promise<Honest> {
    const child = fork(new URL('honest-worker.ts', import.meta.url).pathname)
    const [message] = (await once(child, 'message')) as [FromHonest]
    if (message.type !== 'engine') throw new Error(`unexpected: ${message.type}`)
    return new Honest(child, message.port)
  }

  /** The requests of the next call of `during`. */
  use(plan: HonestPlan): void {
    this.#send({ type: 'use', plan })
  }

  /** Sends its requests during the work. Its answers, and how many other requests reached the engine. */
  async during<T>(work: () => Promise<T>): Promise<{ samples: HonestSample[]; strays: number; result: T }> {
    this.#send({ type: 'start' })
    try {
      const result = await work()
      const stopped = once(this.#child, 'message')
      this.#send({ type: 'stop' })
      const [message] = (await stopped) as [FromHonest]
      if (message.type !== 'stopped') throw new Error(`unexpected: ${message.type}`)
      return { ...message, result }
    } catch (error) {
      this.stop()
      throw error
    }
  }

  get pid(): number {
    return this.#child.pid as number
  }

  stop(): void {
    this.#child.kill()
  }

  #send(message: ToHonest): void {
    this.#child.send(message)
  }
}
