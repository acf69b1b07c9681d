import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../system/clock.ts'
import { ignoring } from './user.ts'

const FAST_SHUTDOWN_MS = 30_000
const POLL_MS = 20

/** One cluster, and what it takes to stop the server on it. */
export interface Cluster {
  data: string
  pgCtl: string
  clock: Clock
}

/**
 * Stops the server that an earlier life of ours left on the cluster, if there is one. A postmaster.pid whose pid
 * now belongs to some other program is removed, because Postgres would take that one for a postmaster. A pid that
 * is free, or a Postgres's that we cannot place, is left to Postgres's own judgement, which is to refuse.
 */
export async function stopLeftover(cluster: Cluster, onProgress: (message: string) => void): Promise<void> {
  const pidFile = join(cluster.data, 'postmaster.pid')
  const text = await readFile(pidFile, 'utf8').catch(ignoring('ENOENT'))
  const pid = Number.parseInt(text ?? '', 10)
  if (!(pid > 1) || !exists(pid)) return
  switch (identify(pid, cluster.data)) {
    case 'its postmaster':
      onProgress(`Stopping the Postgres of an earlier run (pid ${pid})`)
      return stopPostmaster(pid, cluster)
    case 'a stranger':
      return rm(pidFile, { force: true })
    case 'a Postgres':
  }
}

/** Fast shutdown (disconnects everyone, then a checkpoint), and an immediate one if that takes over 30 s; waits for the end. */
export async function stopPostmaster(pid: number, { data, pgCtl, clock }: Cluster): Promise<void> {
  const impatientAt = clock.monotonicMs() + FAST_SHUTDOWN_MS
  let signal: 'SIGINT' | 'SIGQUIT' | undefined
  while (identify(pid, data) === 'its postmaster') {
    const wanted = clock.monotonicMs() < impatientAt ? 'SIGINT' : 'SIGQUIT'
    if (signal !== wanted) sendSignal(pid, wanted, pgCtl)
    signal = wanted
    await clock.sleep(POLL_MS)
  }
}

/** On Windows a signal would be a kill: pg_ctl knows the pipe that Postgres listens on instead. */
export function sendSignal(pid: number, signal: 'SIGINT' | 'SIGQUIT', pgCtl: string): void {
  if (process.platform === 'win32') {
    spawnSync(pgCtl, ['kill', signal.slice(3), String(pid)], { windowsHide: true })
    return
  }
  try {
    process.kill(pid, signal)
  } catch (error) {
    ignoring('ESRCH')(error)
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH'
  }
}

type Identity = 'its postmaster' | 'a Postgres' | 'a stranger'

/** Who has this number at this moment, seen from the cluster in `data`: a stale number may be anybody's by now. */
function identify(pid: number, data: string): Identity {
  if (process.platform === 'win32') return exists(pid) ? 'its postmaster' : 'a stranger'
  const command = commandOf(pid)
  // Only a postmaster keeps its command line: its children say in its place what they do.
  if (!/(^|\/)postgres -D /.test(command)) return 'a stranger'
  const worksThere = process.platform === 'linux' ? worksIn(pid, data) : undefined
  if (worksThere !== undefined) return worksThere ? 'its postmaster' : 'a stranger'
  return command.includes(` -D ${data} `) ? 'its postmaster' : 'a Postgres'
}

/** Empty when there is no such process, or one that only waits to be buried. */
function commandOf(pid: number): string {
  if (process.platform !== 'linux') {
    return spawnSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).stdout ?? ''
  }
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch (error) {
    return ignoring('ENOENT', 'ESRCH')(error) ?? ''
  }
}

/**
 * A postmaster works in its cluster's folder, under whatever name that goes by now. Undefined when the system does
 * not tell: root in a container without CAP_SYS_PTRACE may not see where another user's process works.
 */
function worksIn(pid: number, data: string): boolean | undefined {
  try {
    const [there, here] = [statSync(`/proc/${pid}/cwd`), statSync(data)]
    return there.dev === here.dev && there.ino === here.ino
  } catch (error) {
    return ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '') ? false : undefined
  }
}
