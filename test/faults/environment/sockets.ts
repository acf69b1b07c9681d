import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** The process's sockets to this TCP port (including half-open and unanswered ones), by their local ports. */
export function socketsTo(pid: number, port: number): Set<number> {
  return new Set(socketsOf(pid).flatMap(({ local, remote }) => (remote === port ? [local] : [])))
}

/** The connections that a process has at its own port, by the port of their client. */
export function clientsAt(pid: number, port: number): Set<number> {
  return new Set(
    socketsOf(pid).flatMap(({ local, remote }) => (local === port && remote !== 0 ? [remote] : [])),
  )
}

/** The local ports of connections that neither end has closed. */
export function openConnections(): Set<number> {
  return new Set(
    tcpTable('self').flatMap(({ local, state }) => (state === ESTABLISHED ? [portOf(local)] : [])),
  )
}

/** Of include/net/tcp_states.h, in hex. */
const ESTABLISHED = '01'

/** The TCP sockets of a process, by the ports of their two ends. */
function socketsOf(pid: number): { local: number; remote: number }[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap(fd => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
      } catch {
        return []
      }
    }),
  )
  return tcpTable(pid).flatMap(({ local, remote, inode }) =>
    inodes.has(inode) ? [{ local: portOf(local), remote: portOf(remote) }] : [],
  )
}

function tcpTable(pid: number | 'self') {
  // sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode (proc(5)).
  const lines = readFileSync(`/proc/${pid}/net/tcp`, 'utf8').split('\n').slice(1)
  return lines.map(line => {
    const [, local = '', remote = '', state = '', , , , , , inode = ''] = line.trim().split(/\s+/)
    return { local, remote, state, inode }
  })
}

const portOf = (address: string) => Number.parseInt(address.split(':')[1] ?? '', 16)
