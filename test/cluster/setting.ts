import { fileURLToPath } from 'node:url'
import type { Checks } from '../engine/checks.ts'
import type { Cluster } from './cluster.ts'
import type { Ran } from './control-plane.ts'
import type { CpuShare } from './cpu-share.ts'

/** What each part of the suite gets. */
export interface Setting {
  checks: Checks
  onEnd: (end: () => unknown) => void
  cluster: Cluster
  /** Exchanges. */
  perSecond: number
  /** Of this suite and all that it starts, where it shall be small under load. */
  share: CpuShare | undefined
  cpus: number
  /** Of the modes: which part, of how many. */
  shard: [number, number]
}

export const CHART = fileURLToPath(new URL('../../deploy/helm/mintmark', import.meta.url))
/** Longer than helm needs when the machine is busy. */
export const WAITING = ['--wait', '--timeout=600s']

export const reported = ({ ok, output }: Ran): string => (ok ? 'ok' : output)

export const note = (text: string) => console.log(`  note    ${text}`)

/** `began`: of performance.now(). */
export const since = (began: number) => ((performance.now() - began) / 1_000).toFixed(1)
