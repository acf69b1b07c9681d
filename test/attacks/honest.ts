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

/** From the time at which the request was due. Status 0: no answer. */
export interface HonestSample {
  ms: number
  status: number
}

export type ToHonest = { type: 'start'; plan: HonestPlan } | { type: 'stop' } | { type: 'collect' }
export type FromHonest =
  | { type: 'engine'; port: number }
  | { type: 'collected'; samples: HonestSample[]; strays: number }

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

  begin(plan: HonestPlan): void {
    this.#send({ type: 'start', plan })
  }

  end(): void {
    this.#send({ type: 'stop' })
  }

  /** The answered requests since the last call, and how many others reached the engine. */
  async collect(): Promise<{ samples: HonestSample[]; strays: number }> {
    this.#send({ type: 'collect' })
    const [message] = (await once(this.#child, 'message')) as [FromHonest]
    if (message.type !== 'collected') throw new Error(`unexpected: ${message.type}`)
    return message
  }

  stop(): void {
    this.#child.kill()
  }

  #send(message: ToHonest): void {
    this.#child.send(message)
  }
}
