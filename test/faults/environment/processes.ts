import { readdirSync, readFileSync } from 'node:fs'

/** The pids of running processes that this one started. */
export function childrenOf(parent: number): number[] {
  const isChild = (pid: string) => {
    try {
      // After the name in brackets: state, parent.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent
    } catch {
      return false
    }
  }
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(isChild)
    .map(Number)
}

/** Neither ended nor a zombie. */
export function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}
