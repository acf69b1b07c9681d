import { execFileSync } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import type { Environment } from './environment.ts'
import type { Postgres } from './postgres.ts'

/** A Postgres with two network paths, the second of which can be cut silently. */
export interface Partitionable {
  postgres: Postgres
  /** Its URLs for the application: by the path that stays, and by the one that is cut. */
  near: string
  far: string
  /** The method, for the report. */
  how: string
  cut(): unknown
  heal(): unknown
}

/** In a network namespace, with DROP; where that is not possible, behind a proxy that falls silent. */
export async function partitionable(environment: Environment): Promise<Partitionable> {
  let namespace: Namespace
  try {
    namespace = new Namespace()
    environment.onEnd(() => namespace.remove())
    namespace.connect()
  } catch (error) {
    const why = error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error)
    return behindProxy(environment, `a proxy that falls silent (no network namespace: ${why})`)
  }
  const { name, hosts } = namespace
  const postgres = await environment.postgres({ namespace: name, hosts })
  return {
    postgres,
    near: postgres.applicationUrl(hosts[0]),
    far: postgres.applicationUrl(hosts[1]),
    how: 'DROP in a network namespace',
    cut: () => namespace.filter('--append'),
    heal: () => namespace.filter('--delete'),
  }
}

async function behindProxy(environment: Environment, how: string): Promise<Partitionable> {
  const postgres = await environment.postgres()
  const near = postgres.applicationUrl()
  const proxy = await TcpProxy.before(near)
  environment.onEnd(() => proxy.become('none').then(() => proxy.close()))
  return {
    postgres,
    near,
    far: proxy.url,
    how,
    cut: () => proxy.become('freeze'),
    heal: () => proxy.become('none'),
  }
}

/** A network namespace with two addresses, in addition to ours. */
class Namespace {
  readonly name = `mm-${randomBytes(4).toString('hex')}`
  readonly #subnet = `10.77.${randomInt(256)}`
  readonly hosts: [string, string] = [`${this.#subnet}.2`, `${this.#subnet}.3`]

  connect(): void {
    const [ours, theirs] = [`${this.name}a`, `${this.name}b`]
    run('ip', 'netns', 'add', this.name)
    run('ip', 'link', 'add', ours, 'type', 'veth', 'peer', 'name', theirs, 'netns', this.name)
    run('ip', 'address', 'add', `${this.#subnet}.1/24`, 'dev', ours)
    run('ip', 'link', 'set', ours, 'up')
    for (const host of this.hosts) run('ip', '-n', this.name, 'address', 'add', `${host}/24`, 'dev', theirs)
    for (const device of [theirs, 'lo']) run('ip', '-n', this.name, 'link', 'set', device, 'up')
    run('ip', 'netns', 'exec', this.name, 'iptables', '--list')
  }

  /** Drops the traffic of the second address, or allows it again. */
  filter(action: '--append' | '--delete'): void {
    const [, far] = this.hosts
    const iptables = (...words: string[]) =>
      run('ip', 'netns', 'exec', this.name, 'iptables', action, ...words, '--jump', 'DROP')
    iptables('INPUT', '--destination', far)
    iptables('OUTPUT', '--source', far)
  }

  /** Its devices are removed with it. */
  remove(): void {
    run('ip', 'netns', 'delete', this.name)
  }
}

function run(program: string, ...words: string[]): void {
  execFileSync(program, words, { stdio: ['ignore', 'ignore', 'pipe'] })
}
