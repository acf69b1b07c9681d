import { isDeepStrictEqual } from 'node:util'

/** Named checks, each printed as it ends; a failed one ends no other. */
export class Checks {
  #passed = 0
  #failed = 0

  /** `found` is compared with `expected` as a whole; what is thrown is a failure too. */
  async equal(name: string, expected: unknown, found: () => unknown): Promise<void> {
    let value: unknown
    try {
      value = await found()
    } catch (error) {
      value = error instanceof Error ? `${error.constructor.name}: ${error.message}` : error
    }
    const passes = isDeepStrictEqual(value, expected)
    if (passes) this.#passed++
    else this.#failed++
    const difference = `: expected ${JSON.stringify(expected)}, found ${JSON.stringify(value)}`
    console.log(`  ${passes ? 'ok     ' : 'FAILED '} ${name}${passes ? '' : difference}`)
  }

  /** Prints the last line, and exits. */
  end(): never {
    console.log(`\n${this.#passed} passed, ${this.#failed} failed`)
    process.exit(this.#failed > 0 ? 1 : 0)
  }
}
