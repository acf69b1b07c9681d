import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Of version 1 of control groups, and of version 2. */
const FIRST = '/sys/fs/cgroup/cpu'
const SECOND = '/sys/fs/cgroup'
const PERIOD_US = 100_000

/**
 * A control group of processes that gets a part of the machine's processor time: what a busy machine leaves to them, without making
 * this one busy.
 */
export class CpuShare {
  readonly folder: string

  /** `folder`: of a group that exists. */
  constructor(folder?: string) {
    this.folder = folder ?? join(existsSync(FIRST) ? FIRST : SECOND, `mintmark-cluster-${process.pid}`)
  }

  /** Creates it with this process, and all that this process starts from now on. */
  enter(): void {
    mkdirSync(this.folder)
    moveTo(this.folder)
  }

  /** `cpus`: seconds of a processor in a second. Undefined: no bound. */
  bound(cpus?: number): void {
    const quota = cpus === undefined ? undefined : Math.round(cpus * PERIOD_US)
    if (dirname(this.folder) === FIRST)
      writeFileSync(join(this.folder, 'cpu.cfs_quota_us'), String(quota ?? -1))
    else writeFileSync(join(this.folder, 'cpu.max'), `${quota ?? 'max'} ${PERIOD_US}`)
  }

  /** Once what this process started has ended. */
  leave(): void {
    moveTo(dirname(this.folder))
    rmdirSync(this.folder)
  }
}

/** 0 is the process that writes. */
const moveTo = (folder: string) => writeFileSync(join(folder, 'cgroup.procs'), '0')
