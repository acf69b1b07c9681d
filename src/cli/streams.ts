import { AsyncLocalStorage } from 'node:async_hooks'

/** Where a command reads and writes. */
export interface Streams {
  stdin: NodeJS.ReadableStream & { isTTY?: boolean }
  stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number }
  stderr: NodeJS.WritableStream & { isTTY?: boolean }
}

const current = new AsyncLocalStorage<Streams>()

/** Those of the command that is running: the process's own, unless it was started with others. */
export const streams = (): Streams => current.getStore() ?? process

/** Runs `act` with other streams. */
export const withStreams = <T>(others: Streams, act: () => T): T => current.run(others, act)
