import type { Checks } from '../engine/checks.ts'

const LIMITS = ['requests', 'requests_daily', 'tokens', 'tokens_daily'] as const

/** Which of the eight numbers were enforced, as the checks that are named here found. */
export class Matrix {
  readonly #checks: Checks
  readonly #gateway: string
  readonly #cells = new Map<string, boolean>()

  constructor(checks: Checks, gateway: string) {
    this.#checks = checks
    this.#gateway = gateway
  }

  /** A check that shows one number, with tokens or API keys. */
  async shows(cell: Cell, name: string, expected: unknown, found: () => unknown): Promise<void> {
    let value: unknown
    await this.#checks.equal(name, expected, async () => {
      value = await found()
      return value
    })
    const key = keyOf(cell)
    const passed = JSON.stringify(value) === JSON.stringify(expected)
    this.#cells.set(key, passed && this.#cells.get(key) !== false)
  }

  /** What was shown; nothing, if nothing was. */
  print(): void {
    if (this.#cells.size === 0) return
    console.log(
      `\n| enforced by ${this.#gateway} | with a token | with an API key | Mintmark and Postgres stopped (token) |`,
    )
    console.log('| --- | --- | --- | --- |')
    for (const bucket of ['tenant', 'key'] as const)
      for (const limit of LIMITS) {
        const cells = (['token', 'API key', 'stopped'] as const).map(by => {
          const shown = this.#cells.get(keyOf({ bucket, limit, by }))
          return shown === undefined ? 'not shown' : shown ? 'yes' : 'FAILED'
        })
        console.log(`| ${bucket}.${limit} | ${cells.join(' | ')} |`)
      }
  }
}

export interface Cell {
  bucket: 'tenant' | 'key'
  limit: (typeof LIMITS)[number]
  by: 'token' | 'API key' | 'stopped'
}

const keyOf = ({ bucket, limit, by }: Cell) => `${bucket}.${limit} ${by}`
