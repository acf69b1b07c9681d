import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterApi, KubernetesObject } from './cluster-api.ts'
import { Container, type Mount } from './container.ts'
import { makePodNetwork } from './network.ts'
import { probeAll, probeOnce } from './probes.ts'
import { prepareVolumes, renewTokens } from './volumes.ts'

const AGAIN_MS = 500

export interface PodOptions {
  api: ClusterApi
  folder: string
  /** A file for /etc/hosts of this namespace. */
  hostsOf(namespace: string): string
  node: string
}

/** Runs one pod as a kubelet would, and reports its status. */
export class Pod {
  readonly object: KubernetesObject
  readonly #options: PodOptions
  readonly #network = makePodNetwork()
  readonly #folder: string
  readonly #path: string
  readonly #startedAt = new Date().toISOString()
  #container: Container | undefined
  #restarts = 0
  #ready = false
  #stopping = false
  #isEnded = false
  #reports: Promise<unknown> = Promise.resolve()

  constructor(object: KubernetesObject, options: PodOptions) {
    this.object = object
    this.#options = options
    const { namespace, name, uid } = object.metadata
    this.#folder = join(options.folder, 'pods', uid)
    this.#path = `/api/v1/namespaces/${namespace}/pods/${name}`
  }

  get log(): string {
    return this.#container?.log ?? ''
  }

  get address(): string {
    return this.#network.address
  }

  get isReady(): boolean {
    return this.#ready
  }

  /** `kill -9` of its container, which the pod then starts again. Returns once it is dead. */
  async killContainer(): Promise<void> {
    this.#container?.kill('SIGKILL')
    await this.#container?.exited
  }

  /** Replaces the tokens of its service account, with new ones or with this text. */
  renewTokens(content?: string): Promise<void> {
    return renewTokens(this.#options.api, this.object, this.#folder, content)
  }

  /** Of its process: user, capabilities that it could gain, whether it may gain none, and how its root is mounted. */
  confinement(): string {
    const process = `/proc/${this.#container?.pid}`
    const status = readFileSync(`${process}/status`, 'utf8')
    const of = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1]
    const root = readFileSync(`${process}/mountinfo`, 'utf8')
      .split('\n')
      .find(line => line.split(' ')[4] === '/')
    return `${of('Uid')} ${of('CapBnd')} ${of('NoNewPrivs')} ${root?.split(' ')[5]?.split(',')[0]}`
  }

  async run(): Promise<void> {
    const mountsOf = await this.#volumes()
    const { initContainers = [], containers, restartPolicy } = this.object.spec
    if (containers.length > 1) throw new Error('the suite runs pods of one container')
    for (const container of initContainers) {
      const code = await this.#start(container, mountsOf).exited
      if (code !== 0) throw new Error(`${container.name} ended with ${code}: ${this.log}`)
    }
    const [container] = containers
    while (!this.#stopping) {
      const started = this.#start(container, mountsOf)
      this.#container = started
      let isOver = false
      const probing = this.#probe(container, () => isOver || this.#stopping)
      this.#report('Running', { running: { startedAt: started.startedAt } })
      const exitCode = await started.exited
      isOver = true
      this.#ready = false
      const terminated = { exitCode, startedAt: started.startedAt, finishedAt: new Date().toISOString() }
      if (this.#stopping) return
      if (restartPolicy === 'Never') {
        this.#report(exitCode === 0 ? 'Succeeded' : 'Failed', { terminated })
        await this.#reports
        return
      }
      this.#report('Running', { waiting: { reason: 'CrashLoopBackOff' } })
      await probing
      this.#restarts++
      await sleep(1_000)
    }
  }

  /** SIGTERM, and SIGKILL after the grace period; then the object is deleted. */
  async stop(graceSeconds: number): Promise<void> {
    if (this.#stopping) return
    this.#stopping = true
    const container = this.#container
    if (container) {
      container.kill('SIGTERM')
      const killed = sleep(graceSeconds * 1_000, 'killed' as const)
      if ((await Promise.race([container.exited, killed])) === 'killed') container.kill('SIGKILL')
      await container.exited
    }
    await this.#reports
    const now = { gracePeriodSeconds: 0, preconditions: { uid: this.object.metadata.uid } }
    await this.#options.api.remove(this.#path, now).catch(() => {})
    this.end()
  }

  /** Frees what it has on this machine. */
  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#stopping = true
    this.#container?.kill('SIGKILL')
    this.#network.remove()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Waits for Secrets and claims, as a kubelet does. */
  async #volumes(): Promise<(container: KubernetesObject) => Mount[]> {
    for (;;) {
      try {
        return await prepareVolumes(this.#options.api, this.object, this.#folder)
      } catch (error) {
        if (this.#stopping) throw error
        await sleep(AGAIN_MS)
      }
    }
  }

  #start(container: KubernetesObject, mountsOf: (container: KubernetesObject) => Mount[]): Container {
    const hosts = this.#options.hostsOf(this.object.metadata.namespace)
    const mounts = [...mountsOf(container), { from: hosts, to: '/etc/hosts', writable: false }]
    return new Container(this.object, container, this.#network.name, this.#folder, mounts)
  }

  async #probe(container: KubernetesObject, isOver: () => boolean): Promise<void> {
    const { startupProbe, readinessProbe, livenessProbe } = container
    const { address } = this.#network
    if (startupProbe) {
      for (let failures = 0; !(await probeOnce(startupProbe, container, address)); ) {
        if (isOver()) return
        if (++failures >= startupProbe.failureThreshold) return this.killContainer()
        await sleep(startupProbe.periodSeconds * 1_000)
      }
    }
    const ready = (passes: boolean) => {
      this.#ready = passes
      this.#report('Running', { running: { startedAt: this.#container?.startedAt } })
    }
    const live = (passes: boolean) => {
      if (!passes) this.#container?.kill('SIGTERM')
    }
    if (!readinessProbe) ready(true)
    await Promise.all([
      readinessProbe && probeAll(readinessProbe, container, address, isOver, ready),
      livenessProbe && probeAll(livenessProbe, container, address, isOver, live),
    ])
  }

  /** One after another, so that the last one counts. */
  #report(phase: string, state: object): void {
    const ready = this.#ready
    const [container] = this.object.spec.containers
    const condition = (type: string, isTrue: boolean) => ({
      type,
      status: isTrue ? 'True' : 'False',
      lastTransitionTime: new Date().toISOString(),
    })
    const status = {
      phase,
      podIP: this.#network.address,
      podIPs: [{ ip: this.#network.address }],
      hostIP: '10.77.0.1',
      startTime: this.#startedAt,
      conditions: [
        condition('PodScheduled', true),
        condition('Initialized', true),
        condition('ContainersReady', ready),
        condition('Ready', ready),
      ],
      containerStatuses: [
        {
          name: container.name,
          image: container.image,
          imageID: '',
          ready,
          started: phase === 'Running',
          restartCount: this.#restarts,
          state,
        },
      ],
    }
    this.#reports = this.#reports.then(() =>
      this.#options.api.patch(`${this.#path}/status`, { status }).catch(error => {
        if (error.code !== 404) console.log(`  note    ${error.message}`)
      }),
    )
  }
}
