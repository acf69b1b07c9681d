import type { Clock } from '../../clients/typescript/src/token-keeper.ts'

/** Time advances when a test calls for it, and by sleeping. */
export class FakeClock implements Clock {
  /** Every sleep, in milliseconds. */
  readonly slept: number[] = []
  #now = 1_800_000_000_000

  now = (): number => this.#now

  sleep = async (ms: number): Promise<void> => {
    this.slept.push(ms)
    this.#now += ms
  }

  advance(seconds: number): void {
    this.#now += seconds * 1000
  }
}
