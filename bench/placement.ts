import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { LOAD_CORE, SERVER_CORE } from './process.ts'
import type { UsageExchanges, UsageExchangesResult } from './usage-exchanges.ts'

/**
 * Of bench/usage-with-exchanges.ts. Two cores stand for the machines of an installation: one has the process whose exchanges are
 * measured, the other all else. The client goes before others there (nice -10): its own waiting for a core is no time that a caller
 * would see.
 */
export class Placement {
  /** Linux with two cores. */
  readonly #hasCores = [SERVER_CORE, LOAD_CORE].every(core => works('taskset', '-c', String(core), 'true'))
  /** nice(1) runs a program even where it may not raise its priority. */
  readonly #isFirst = works(process.execPath, '-e', 'os.setPriority(-10)')

  get text(): string {
    const cores = this.#hasCores
      ? `exchanges on core ${SERVER_CORE}, all else on ${LOAD_CORE}`
      : 'on any core'
    return `${cores}; the client ${this.#isFirst ? 'goes before others' : 'waits with others: run it as root'}`
  }

  /** Also for what this process starts from now on. */
  takeLoadCore(): void {
    this.#place(process.pid, LOAD_CORE)
  }

  giveServerCore(pid: number): void {
    this.#place(pid, SERVER_CORE)
  }

  startClient(): ExchangeClient {
    const command = [process.execPath, fileURLToPath(new URL('usage-exchanges.ts', import.meta.url))]
    return new ExchangeClient(this.#isFirst ? ['nice', '-n', '-10', ...command] : command)
  }

  #place(pid: number, core: number): void {
    if (this.#hasCores)
      execFileSync('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' })
  }
}

/** A process of bench/usage-exchanges.ts. */
export class ExchangeClient {
  readonly #process: ChildProcess
  #fail: (error: Error) => void = () => {}

  constructor([program = '', ...args]: readonly string[]) {
    this.#process = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#process.once('exit', () => this.#fail(new Error('the client of the exchanges has ended')))
  }

  run(load: UsageExchanges): Promise<UsageExchangesResult> {
    return new Promise((resolve, reject) => {
      this.#fail = reject
      this.#process.once('message', (result: UsageExchangesResult) => resolve(result))
      this.#process.send(load)
    })
  }

  stop(): void {
    this.#process.kill()
  }
}

function works(program: string, ...args: string[]): boolean {
  try {
    execFileSync(program, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
