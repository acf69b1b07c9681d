import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Scale, Target } from './attacks.ts'
import type { Refusal } from './raw-client.ts'

/** In place of an attack: the attacker takes the same time of a core, and sends nothing. */
export const BUSY_CORE = 'a busy core, no attack'

/** One attack, by its name. */
export interface Assault {
  over: 'http' | 'grpc'
  name: string
  target: Target
  scale: Scale
}

/**
 * The process that attacks. An attacker is on another machine, and this one has few cores: so it has a lower priority than
 * the gateway, Mintmark and the honest client, and does not delay the measurements.
 */
export class Attacker {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(): Promise<Attacker> {
    const child = fork(new URL('attack-worker.ts', import.meta.url).pathname)
    await once(child, 'message')
    return new Attacker(child)
  }

  /** How its requests ended. @throws {Error} when the process ends. */
  async run(assault: Assault): Promise<Refusal[]> {
    const ended = new AbortController()
    const dead = () => ended.abort(new Error('the attacker has ended'))
    this.#child.once('exit', dead)
    try {
      const answered = once(this.#child, 'message', { signal: ended.signal })
      this.#child.send(assault)
      const [refusals] = await answered
      return refusals
    } finally {
      this.#child.off('exit', dead)
    }
  }

  get pid(): number {
    return this.#child.pid as number
  }

  stop(): void {
    this.#child.kill()
  }
}
