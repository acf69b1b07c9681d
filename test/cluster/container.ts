import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { KubernetesObject } from './cluster-api.ts'

const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))

/** As in the Dockerfile: what the image has, its environment, and what it runs. `npm run build` makes dist. */
const IMAGE = {
  files: ['package.json', 'scripts', 'node_modules', 'dist', 'db'],
  env: { NODE_ENV: 'production', MINTMARK_HOST: '0.0.0.0', PATH: '/node:/usr/bin' },
  entrypoint: ['node', 'dist/cli/main.js'],
  command: ['serve'],
}

export interface Mount {
  from: string
  to: string
  writable: boolean
}

/** A container of a pod, as a process (container.sh). Its image is always this build of Mintmark. */
export class Container {
  readonly #child: ChildProcess
  readonly #log: string
  readonly exited: Promise<number>
  readonly startedAt = new Date().toISOString()

  constructor(
    pod: KubernetesObject,
    container: KubernetesObject,
    network: string,
    folder: string,
    mounts: Mount[],
  ) {
    mkdirSync(folder, { recursive: true })
    this.#log = join(folder, `${container.name}.log`)
    const specification = join(folder, `${container.name}.sh`)
    writeFileSync(specification, specificationOf(pod, container, join(folder, 'root'), mounts))
    const output = openSync(this.#log, 'a')
    const script = join(REPOSITORY, 'test/cluster/container.sh')
    this.#child = spawn(
      'ip',
      ['netns', 'exec', network, 'unshare', '--mount', 'bash', script, specification],
      {
        stdio: ['ignore', output, output],
      },
    )
    this.exited = new Promise(resolve => {
      this.#child.once('exit', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 143)))
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get log(): string {
    return readFileSync(this.#log, 'utf8')
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }
}

function specificationOf(
  pod: KubernetesObject,
  container: KubernetesObject,
  root: string,
  mounts: Mount[],
): string {
  const { runAsUser, runAsGroup, fsGroup } = identityOf(pod)
  const image: Mount[] = [
    ...IMAGE.files.map(name => ({ from: join(REPOSITORY, name), to: `/app/${name}`, writable: false })),
    { from: process.execPath, to: '/node/node', writable: false },
  ]
  // A kubelet gives the address of the API server to every container.
  const server = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }
  const given = (container.env ?? []).map(({ name, value, valueFrom }: KubernetesObject) => {
    return [name, valueFrom ? fieldOf(pod, valueFrom) : value]
  })
  const env = { ...IMAGE.env, ...server, ...Object.fromEntries(given) }
  const command = [
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    ...(container.command ?? IMAGE.entrypoint),
    ...(container.args ?? (container.command ? [] : IMAGE.command)),
  ]
  const lines = [...image, ...mounts].map(
    ({ from, to, writable }) => `${from} ${to} ${writable ? 'rw' : 'ro'}`,
  )
  return [
    `root=${quoted(root)}`,
    `user=${runAsUser} group=${runAsGroup} groups=${fsGroup}`,
    `readonly=${container.securityContext.readOnlyRootFilesystem === true}`,
    `mounts=${quoted(lines.join('\n'))}`,
    `command=(${command.map(quoted).join(' ')})`,
    '',
  ].join('\n')
}

/** OpenShift gives pods that name no user one of its namespace's range, and group 0; their volumes belong to a group of that range. */
export function identityOf({ spec }: KubernetesObject) {
  const { runAsUser = 1_000_660_000, runAsGroup = 0, fsGroup = 1_000_660_000 } = spec.securityContext
  return { runAsUser, runAsGroup, fsGroup }
}

/** A field of the pod, by its path. */
function fieldOf(pod: KubernetesObject, { fieldRef }: KubernetesObject): string {
  if (!fieldRef) throw new Error('the suite reads values of fields only')
  return fieldRef.fieldPath.split('.').reduce((at: KubernetesObject, name: string) => at[name], pod)
}

const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
