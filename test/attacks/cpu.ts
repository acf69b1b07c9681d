import { readdirSync, readFileSync } from 'node:fs'

const NS_PER_MS = 1e6

/** Of all threads of some processes since they began, in milliseconds. */
export interface CpuTime {
  used: number
  /** Ready to run, while other threads had every core. */
  waited: number
}

/** From the kernel's scheduler. Threads that have ended do not count. */
export function cpuTimeOf(pids: readonly number[]): CpuTime {
  const threads = pids.flatMap(pid => filesOf(`/proc/${pid}/task`).map(id => `/proc/${pid}/task/${id}`))
  const times = threads.map(thread => textOf(`${thread}/schedstat`).split(' ').map(Number))
  const sum = (column: number) =>
    times.reduce((total, columns) => total + (columns[column] ?? 0), 0) / NS_PER_MS
  return { used: sum(0), waited: sum(1) }
}

export const difference = (now: CpuTime, before: CpuTime): CpuTime => ({
  used: now.used - before.used,
  waited: now.waited - before.waited,
})

function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
