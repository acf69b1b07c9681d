import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../system/clock.ts'
import { ignoring } from './user.ts'

const FAST_SHUTDOWN_MS = 30_000
const POLL_MS = 20

/** One cluster, and what is needed to stop its server. */
export interface Cluster {
  data: string
  pgCtl: string
  clock: Clock
}

/**
 * Stops the server that an earlier process of this program left on the cluster, if any. A postmaster.pid with the pid of
 * another program is removed, because Postgres would take that program for a postmaster. A pid that is free, or that of
 * an unidentified Postgres, is left to Postgres, which then does not start.
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
    case 'another program':
      return rm(pidFile, { force: true })
    case 'a Postgres':
  }
}

/**
 * Fast shutdown (disconnects all clients, then a checkpoint), and an immediate one if that takes over 30 s; waits for
 * the end.
 */
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

/** On Windows a signal would kill the process: pg_ctl uses Postgres's signal pipe instead. */
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

type Identity = 'its postmaster' | 'a Postgres' | 'another program'

/**
 * Identifies the process with this number, relative to the cluster in `data`: a stale number may belong to any program.
 */
function identify(pid: number, data: string): Identity {
  if (process.platform === 'win32') return exists(pid) ? 'its postmaster' : 'another program'
  const command = commandOf(pid)
  // Only a postmaster keeps its command line: its children replace it with their status.
  if (!/(^|\/)postgres -D /.test(command)) return 'another program'
  const worksThere = process.platform === 'linux' ? worksIn(pid, data) : undefined
  if (worksThere !== undefined) return worksThere ? 'its postmaster' : 'another program'
  return command.includes(` -D ${data} `) ? 'its postmaster' : 'a Postgres'
}

/** Empty when there is no such process, or only a zombie. */
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
 * A postmaster's working directory is its cluster's folder, under its current name. Undefined when the system does not
 * reveal it: root in a container without CAP_SYS_PTRACE may not see another user's working directories.
 */
function worksIn(pid: number, data: string): boolean | undefined {
  try {
    const [there, here] = [statSync(`/proc/${pid}/cwd`), statSync(data)]
    return there.dev === here.dev && there.ino === here.ino
  } catch (error) {
    return ['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '') ? false : undefined
  }
}
