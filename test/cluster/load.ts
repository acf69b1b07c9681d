import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export interface Exchanged {
  /** By status, by the code of an error, or "no answer" long after the end. */
  outcomes: Record<string, number>
  /** On connections at the same time. */
  mostUnderWay: number
  /** Not sent, because the client itself was behind. */
  leftOut: number
  /** Answered later than a client may wait. */
  slow: number
  /** Not 200, on a connection that was opened after the mark. */
  newConnectionsFailed: number
}

/** Exchanges at a rate, from a process of its own, until `stop`. */
export function startLoad(url: string, perSecond: number, secrets: readonly string[]) {
  const child = fork(fileURLToPath(new URL('load-worker.ts', import.meta.url)), [
    url,
    String(perSecond),
    ...secrets,
  ])
  return {
    /** From now on `newConnectionsFailed` counts. */
    mark: () => void child.send('mark'),
    stop: async (): Promise<Exchanged> => {
      const reported = once(child, 'message')
      child.send('stop')
      const [exchanged] = await reported
      return exchanged as Exchanged
    },
    end: () => child.kill(),
  }
}

/** How many exchanges did not end with 200. */
export const failures = ({ outcomes }: Exchanged): number =>
  Object.entries(outcomes).reduce((sum, [outcome, count]) => (outcome === '200' ? sum : sum + count), 0)
