import { readFileSync } from 'node:fs'
import { childrenOf } from '../faults/environment/processes.ts'

const EVERY_MS = 50
const KIB_PER_MIB = 1024

/** The process and all that it started. */
export function treeOf(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(treeOf)]
}

/** What these processes hold in memory, in MiB; those that have ended hold nothing. */
export function residentMib(pids: readonly number[]): number {
  const kibibytes = pids.map(pid => {
    try {
      return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
    } catch {
      return 0
    }
  })
  return kibibytes.reduce((sum, each) => sum + each, 0) / KIB_PER_MIB
}

/** The most that they hold during the work, in MiB, and the result of the work. */
export async function mostDuring<T>(
  pids: readonly number[],
  work: () => Promise<T>,
): Promise<{ mib: number; result: T }> {
  let mib = residentMib(pids)
  const look = () => {
    mib = Math.max(mib, residentMib(pids))
  }
  const timer = setInterval(look, EVERY_MS)
  try {
    const result = await work()
    look()
    return { mib, result }
  } finally {
    clearInterval(timer)
  }
}
