import type { Replica } from '../faults/environment/replica.ts'

export interface Sent {
  sent: number
  /** How many secrets they have seen. */
  secrets: number
  /** Answers other than 200, by status. */
  failed: Record<string, number>
}

/** Clients as pods are: they read their Secret again from time to time, as the kubelet does for them, and use what they have. */
export class ReadingClients {
  readonly #mintmark: Replica
  readonly #read: () => Promise<string>
  readonly #options: { everyMs: number; perSecond: number }
  readonly #seen = new Set<string>()
  readonly #failed: Record<string, number> = {}
  readonly #underWay = new Set<Promise<void>>()
  readonly #timers: NodeJS.Timeout[] = []
  #secret = ''
  #sent = 0

  constructor(
    mintmark: Replica,
    read: () => Promise<string>,
    options: { everyMs: number; perSecond: number },
  ) {
    this.#mintmark = mintmark
    this.#read = read
    this.#options = options
  }

  async start(): Promise<void> {
    await this.#readAgain()
    this.#timers.push(
      setInterval(() => void this.#readAgain(), this.#options.everyMs),
      setInterval(() => this.#send(), 1_000 / this.#options.perSecond),
    )
  }

  async stop(): Promise<Sent> {
    for (const timer of this.#timers) clearInterval(timer)
    await Promise.all(this.#underWay)
    return { sent: this.#sent, secrets: this.#seen.size, failed: this.#failed }
  }

  async #readAgain(): Promise<void> {
    this.#secret = await this.#read()
    this.#seen.add(this.#secret)
  }

  #send(): void {
    this.#sent++
    const asked = this.#mintmark.exchange(this.#secret).then(({ status }) => {
      if (status !== 200) this.#failed[status] = (this.#failed[status] ?? 0) + 1
      this.#underWay.delete(asked)
    })
    this.#underWay.add(asked)
  }
}
