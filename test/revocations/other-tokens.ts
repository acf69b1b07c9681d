import { setTimeout as sleep } from 'node:timers/promises'
import type { Envoy } from '../gateway-configs/envoy.ts'
import { statusOf } from './setting.ts'

/** Requests with a token that is not revoked, all the time. Each that is not 200 is a false refusal. */
export class OtherTokens {
  requests = 0
  readonly refused: number[] = []
  #isOver = false
  readonly #running: Promise<void>[]

  constructor(envoys: readonly Envoy[], token: string) {
    this.#running = envoys.map(envoy => this.#run(envoy, token))
  }

  async #run(envoy: Envoy, token: string): Promise<void> {
    while (!this.#isOver) {
      const status = await statusOf(envoy, token)
      this.requests++
      if (status !== 200) this.refused.push(status)
      // Leaves the machine to what is measured.
      await sleep(2)
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#running)
  }
}
