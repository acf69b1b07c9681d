import type { Checks } from '../engine/checks.ts'
import { missingPrograms as missingOfMesh } from '../istiod/programs.ts'
import { checkModes } from './apply-modes.ts'
import { Cluster } from './cluster.ts'
import { checkCombinations } from './combinations.ts'
import { checkConflicts } from './conflicts.ts'
import { checkContractOfChart } from './contract.ts'
import type { CpuShare } from './cpu-share.ts'
import { InstalledGateway } from './gateway.ts'
import { followGuide } from './guide.ts'
import { install } from './installation.ts'
import { checkReleases } from './releases.ts'
import { note, type Setting } from './setting.ts'
import { checkUpgrade } from './upgrade.ts'
import { checkWorkloads } from './workloads.ts'

/** Unless the command says another number. */
export const EXCHANGES_PER_SECOND = 300

/** In the order in which they run. */
export const PARTS = [
  ...(['modes', 'combinations', 'contract-selector', 'contract-target-refs', 'workloads'] as const),
  ...(['gateway', 'conflicts', 'upgrade', 'releases', 'guide'] as const),
]
export type Part = (typeof PARTS)[number]
/** Without the parts that take long, and the guide, which begins with an empty cluster. */
const USUAL: Part[] = ['modes', 'workloads', 'gateway', 'conflicts', 'upgrade', 'releases']
const NEED_ISTIOD: Part[] = ['contract-selector', 'contract-target-refs', 'gateway', 'guide']
const NEED_INSTALLATION: Part[] = ['workloads', 'gateway', 'conflicts', 'upgrade', 'releases']

interface Options {
  perSecond: number
  share: CpuShare | undefined
  cpus: number
  shard: [number, number]
}

/** The cluster of the suite, and what is shown on it. */
export class Suite {
  readonly #setting: Setting

  constructor(checks: Checks, onEnd: (end: () => unknown) => void, options: Options) {
    this.#setting = { checks, onEnd, ...options, cluster: new Cluster() }
  }

  /** `parts`: none for the usual ones. */
  async run(parts: Part[]): Promise<void> {
    const { checks, onEnd, cluster } = this.#setting
    const wanted = parts.length > 0 ? parts : USUAL
    const withoutIstiod = missingOfMesh()
    if (withoutIstiod && parts.some(part => NEED_ISTIOD.includes(part))) throw new Error(withoutIstiod)
    const has = (part: Part) =>
      wanted.includes(part) && !(withoutIstiod !== undefined && NEED_ISTIOD.includes(part))
    if (withoutIstiod && wanted.includes('gateway')) note(`without a gateway: ${withoutIstiod}`)
    const isGuide = has('guide')
    if (isGuide && wanted.length > 1) throw new Error('the guide begins with an empty cluster: give it alone')
    await cluster.start(onEnd, isGuide)
    if (isGuide) {
      const gateway = new InstalledGateway(checks, onEnd, cluster)
      return followGuide(checks, cluster, () => gateway.start())
    }
    if (has('modes')) await checkModes(this.#setting)
    if (has('combinations')) await checkCombinations(this.#setting)
    if (has('contract-selector')) await checkContractOfChart(checks, cluster.plane.kubeconfig, 'selector')
    if (has('contract-target-refs'))
      await checkContractOfChart(checks, cluster.plane.kubeconfig, 'targetRefs')
    if (!NEED_INSTALLATION.some(has)) return
    await install(this.#setting)
    const secrets = await cluster.makeKeys(20)
    if (has('workloads')) await checkWorkloads(checks, cluster, onEnd)
    if (has('gateway')) await new InstalledGateway(checks, onEnd, cluster).run(secrets)
    if (has('conflicts')) await checkConflicts(this.#setting)
    if (has('upgrade')) await checkUpgrade(this.#setting, secrets)
    if (has('releases')) await checkReleases(this.#setting, secrets)
  }
}
