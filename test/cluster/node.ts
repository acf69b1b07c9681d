import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { childEnvironment } from '../support/child-environment.ts'
import type { ApiServer, KubernetesObject } from './api-server.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const NAME = 'suite-node'
const POLL_MS = 200

interface RunningPod {
  address: string
  folder: string
  log: string
  child?: ChildProcess
  deleted: boolean
  ended: Promise<void>
}

/**
 * In the place of scheduler and kubelet: binds each pod to one node, and runs its containers as processes of this machine. It
 * does of a kubelet's work what the chart relies on: Secrets as files, init containers, the probes' results as conditions,
 * SIGTERM and then SIGKILL after the grace period, and the phases of pods that end. Images are not pulled: the container's
 * program is this checkout, with the variables that the Dockerfile sets. A pod has an address of its own.
 */
export class PodRunner {
  readonly #api: ApiServer
  readonly #folder: string
  readonly #pods = new Map<string, RunningPod>()
  #stopped = false
  #next = 10
  #loop = Promise.resolve()
  /** What went wrong in the runner itself. */
  readonly faults: string[] = []

  constructor(api: ApiServer, folder: string) {
    this.#api = api
    this.#folder = folder
  }

  async start(): Promise<void> {
    await this.#api.call('POST', '/api/v1/nodes', {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: { name: NAME },
    })
    await this.#api.call('PATCH', `/api/v1/nodes/${NAME}/status`, {
      status: { conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: '' }] },
    })
    this.#loop = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#loop
    for (const pod of this.#pods.values()) {
      pod.deleted = true
      pod.child?.kill('SIGKILL')
      await pod.ended
    }
  }

  /** kill -9 of the process of a pod. */
  kill(uid: string): void {
    this.#pods.get(uid)?.child?.kill('SIGKILL')
  }

  /** The log of a pod that ran here. */
  log(uid: string): string {
    const pod = this.#pods.get(uid)
    return pod ? readFileSync(pod.log, 'utf8') : ''
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        for (const pod of await this.#api.list('/api/v1/pods')) await this.#see(pod)
      } catch (error) {
        this.faults.push((error as Error).message)
      }
      await sleep(POLL_MS)
    }
  }

  async #see(pod: KubernetesObject): Promise<void> {
    const { uid, namespace, name, deletionTimestamp } = pod.metadata
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`
    const running = this.#pods.get(uid)
    if (deletionTimestamp) {
      if (running && !running.deleted) {
        running.deleted = true
        void this.#end(pod, path, running)
      } else if (!running) {
        await this.#api.call('DELETE', `${path}?gracePeriodSeconds=0`, undefined, [404])
      }
      return
    }
    if (running || !['Pending', undefined].includes(pod.status?.phase)) return
    if (!pod.spec.nodeName) {
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name },
        target: { kind: 'Node', name: NAME },
      }
      await this.#api.call('POST', `${path}/binding`, binding, [409])
    }
    const folder = join(this.#folder, 'pods', uid)
    mkdirSync(folder, { recursive: true })
    const started: RunningPod = {
      address: `10.244.0.${this.#next++}`,
      folder,
      log: join(folder, 'log'),
      deleted: false,
      ended: Promise.resolve(),
    }
    writeFileSync(started.log, '')
    this.#pods.set(uid, started)
    started.ended = this.#live(pod, path, started).catch(error => {
      this.faults.push(`${name}: ${(error as Error).message}`)
    })
  }

  async #live(pod: KubernetesObject, path: string, running: RunningPod): Promise<void> {
    await this.#mount(pod, running)
    await this.#status(path, { phase: 'Pending', podIP: running.address, podIPs: [{ ip: running.address }] })
    for (const container of pod.spec.initContainers ?? []) {
      let code: number | null = 1
      while (code !== 0 && !running.deleted) {
        code = await this.#execute(container, running)
        if (code !== 0) await sleep(1_000)
      }
    }
    const [container] = pod.spec.containers
    const ended = this.#execute(container, running)
    const always = pod.spec.restartPolicy === 'Always'
    const probing = always ? this.#probe(container, path, running) : this.#status(path, { phase: 'Running' })
    const code = await ended
    await probing
    if (running.deleted) return
    if (always) {
      // A kubelet would start the container again: the suite counts on a new pod instead.
      await this.#api.call('DELETE', `${path}?gracePeriodSeconds=0`, undefined, [404])
      return
    }
    await this.#status(path, {
      phase: code === 0 ? 'Succeeded' : 'Failed',
      conditions: [{ type: 'Ready', status: 'False', reason: 'PodCompleted' }],
      containerStatuses: [
        {
          name: container.name,
          image: container.image,
          imageID: '',
          ready: false,
          restartCount: 0,
          state: { terminated: { exitCode: code ?? 137, reason: code === 0 ? 'Completed' : 'Error' } },
        },
      ],
    })
  }

  async #end(pod: KubernetesObject, path: string, running: RunningPod): Promise<void> {
    const grace = pod.metadata.deletionGracePeriodSeconds ?? 30
    running.child?.kill('SIGTERM')
    const forced = setTimeout(() => running.child?.kill('SIGKILL'), grace * 1_000)
    await running.ended
    clearTimeout(forced)
    await this.#api.call('DELETE', `${path}?gracePeriodSeconds=0`, undefined, [404])
  }

  /** Until the process has ended: the startup probe, then whether the readiness probe succeeds. */
  async #probe(container: KubernetesObject, path: string, running: RunningPod): Promise<void> {
    let ready: boolean | undefined
    const { child } = running
    while (child?.exitCode === null && child.signalCode === null) {
      const now = await this.#succeeds(container, container.readinessProbe, running)
      if (now !== ready) {
        ready = now
        const status = now ? 'True' : 'False'
        await this.#status(path, {
          phase: 'Running',
          conditions: ['Ready', 'ContainersReady', 'Initialized', 'PodScheduled'].map(type => ({
            type,
            status: ['Ready', 'ContainersReady'].includes(type) ? status : 'True',
            lastTransitionTime: new Date().toISOString(),
          })),
        })
      }
      await sleep(POLL_MS)
    }
  }

  async #succeeds(
    container: KubernetesObject,
    probe: KubernetesObject,
    running: RunningPod,
  ): Promise<boolean> {
    const { path, port } = probe.httpGet
    const { containerPort } = container.ports.find(({ name }: { name: string }) => name === port)
    const url = `http://${running.address}:${containerPort}${path}`
    return fetch(url, { signal: AbortSignal.timeout(probe.timeoutSeconds * 1_000) }).then(
      ({ status }) => status < 400,
      () => false,
    )
  }

  async #mount(pod: KubernetesObject, running: RunningPod): Promise<void> {
    for (const { name, secret } of pod.spec.volumes ?? []) {
      if (!secret) continue
      const { data } = await this.#api.call(
        'GET',
        `/api/v1/namespaces/${pod.metadata.namespace}/secrets/${secret.secretName}`,
      )
      mkdirSync(join(running.folder, name))
      for (const { key, path } of secret.items) {
        if (data?.[key] === undefined) throw new Error(`the Secret ${secret.secretName} has no ${key}`)
        writeFileSync(join(running.folder, name, path), Buffer.from(data[key], 'base64'))
      }
    }
  }

  /** Resolves with the exit code. The program of the image is src/cli/main.ts, or Node with the pod's own command. */
  #execute(container: KubernetesObject, running: RunningPod): Promise<number | null> {
    const inImage = { NODE_ENV: 'production', MINTMARK_HOST: '0.0.0.0' }
    const given = (container.env ?? []).map(({ name, value }: { name: string; value: string }) => [
      name,
      value,
    ])
    const env = Object.entries({ ...inImage, ...Object.fromEntries(given) } as Record<string, string>).map(
      ([name, value]) => [name, this.#inPod(value, container, running)],
    )
    const program = container.command ? container.command.slice(1) : ['src/cli/main.ts']
    const log = openSync(running.log, 'a')
    const child = spawn(process.execPath, [...program, ...(container.args ?? [])], {
      cwd: ROOT,
      env: childEnvironment(Object.fromEntries(env)),
      stdio: ['ignore', log, log],
    })
    running.child = child
    return new Promise(resolve => child.once('exit', code => resolve(code)))
  }

  /** Paths in volumes, the address of the pod in place of all addresses, and the names of Services as their addresses. */
  #inPod(value: string, container: KubernetesObject, running: RunningPod): string {
    if (value === '0.0.0.0') return running.address
    for (const { name, mountPath } of container.volumeMounts ?? []) {
      if (value.startsWith(`${mountPath}/`))
        return join(running.folder, name, value.slice(mountPath.length + 1))
    }
    return value
  }

  async #status(path: string, status: object): Promise<void> {
    await this.#api.call('PATCH', `${path}/status`, { status }, [404])
  }

  /** Removes what the pods left. */
  clean(): void {
    rmSync(join(this.#folder, 'pods'), { recursive: true, force: true })
  }
}
