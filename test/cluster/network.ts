import { execFileSync } from 'node:child_process'

/**
 * The network of the suite: a namespace of its own, with a bridge to which the namespace of each pod is attached. The control
 * plane, the database and the addresses of Services are at the bridge; pods reach them by their default route. Nothing leaves it.
 */

/** Of the bridge: where the API server and Postgres listen. */
export const HOST = '10.77.0.1'
export const SERVICES = '10.96.0.0/16'

const ip = (...words: string[]) => void execFileSync('ip', words, { stdio: ['ignore', 'ignore', 'inherit'] })

export function makeNetwork(): void {
  execFileSync('sh', ['-c', 'mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns'])
  ip('link', 'set', 'lo', 'up')
  ip('link', 'add', 'pods', 'type', 'bridge')
  ip('addr', 'add', `${HOST}/16`, 'dev', 'pods')
  ip('link', 'set', 'pods', 'up')
}

/** The address of a Service. */
export function addAddress(address: string): void {
  ip('addr', 'add', `${address}/32`, 'dev', 'lo')
}

let pods = 0

/** A namespace for a pod, with its address. */
export function makePodNetwork(): { name: string; address: string; remove(): void } {
  const number = ++pods
  const name = `pod${number}`
  const address = `10.77.${1 + Math.floor(number / 250)}.${1 + (number % 250)}`
  ip('netns', 'add', name)
  ip('link', 'add', `v${number}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name)
  ip('link', 'set', `v${number}`, 'master', 'pods', 'up')
  ip('-n', name, 'addr', 'add', `${address}/16`, 'dev', 'eth0')
  ip('-n', name, 'link', 'set', 'lo', 'up')
  ip('-n', name, 'link', 'set', 'eth0', 'up')
  ip('-n', name, 'route', 'add', 'default', 'via', HOST)
  return { name, address, remove: () => ip('netns', 'del', name) }
}
