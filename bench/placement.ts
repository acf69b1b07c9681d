import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { LOAD_CORE, SERVER_CORE } from './process.ts'
import type { UsageExchanges, UsageExchangesResult } from './usage-exchanges.ts'

/**
 * Of bench/usage-with-exchanges.ts. Two cores stand for the machines of an installation: one has the process whose exchanges are
 * measured, the other everything else. The client that measures goes before all others there (SCHED_FIFO, sched(7)), because its own
 * waiting for a core is no time that a caller would see.
 */
export class Placement {
  /** Linux with two cores. */
  readonly #hasCores = availableParallelism() > 1 && works('taskset', '-c', '0', 'true')
  readonly #isFirst = works('nice', '-n', '-10', 'true')

  get text(): string {
    const cores = this.#hasCores
      ? `exchanges on core ${SERVER_CORE}, all else on ${LOAD_CORE}`
      : 'on any core'
    return `${cores}; the client ${this.#isFirst ? 'goes before others' : 'waits with others: run it as root'}`
  }

  /** Also for what this process starts from now on. */
  takeLoadCore(): void {
    this.#put(process.pid, LOAD_CORE)
  }

  putOnServerCore(pid: number): void {
    execFileSync('taskset', ['-a', '-p', '-c', '0,1', String(pid)], { stdio: 'ignore' })
    execFileSync('taskset', ['-p', '-c', '0', String(pid)], { stdio: 'ignore' })
  }

  startClient(): ExchangeClient {
    const command = [process.execPath, fileURLToPath(new URL('usage-exchanges.ts', import.meta.url))]
    return new ExchangeClient(this.#isFirst ? ['nice', '-n', '-10', ...command] : command)
  }

  #put(pid: number, core: number): void {
    if (this.#hasCores)
      execFileSync('taskset', ['-a', '-p', '-c', String(core), String(pid)], { stdio: 'ignore' })
  }
}

/** A process of bench/usage-exchanges.ts. */
export class ExchangeClient {
  readonly #process: ChildProcess

  constructor([program = '', ...args]: readonly string[]) {
    this.#process = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  }

  async run(load: UsageExchanges): Promise<UsageExchangesResult> {
    const ended = once(this.#process, 'exit').then(() => {
      throw new Error('the client of the exchanges has ended')
    })
    const result = once(this.#process, 'message')
    this.#process.send(load)
    const [done] = await Promise.race([result, ended])
    return done
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
