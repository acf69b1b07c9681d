import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { timed, until } from '../support/until.ts'
import { type Experiment, PATIENCE_MS } from './environment/environment.ts'
import { streams } from './environment/load.ts'
import { cpuMs, type Replica, unknownKey } from './environment/replica.ts'
import { WHY } from './environment/report.ts'
import { underLoad } from './environment/under-load.ts'

/** Descriptors that the replica may open on top of those that it has. */
const LEFT = 20
const PEERS = 200
const AGAIN_MS = 250
const SHORT_MS = 2_000

/** The limit of file descriptors is reached by idle peers; peers that are connected are still served. */
export const experiment: Experiment = {
  id: 'F36',
  title: 'No file descriptor is left (EMFILE)',
  lacks: () => (works('prlimit', '--version') ? undefined : 'it takes prlimit'),
  run: async environment => {
    const { report } = environment
    await underLoad(
      environment,
      {
        usually: { p99: 50 },
        more: replica => [streams.jwks([replica], { perSecond: 5, connections: 5, connected: true })],
      },
      async ({ replica }) => {
        const { pid } = replica.process
        const usual = await cpuShare(pid)
        // Over a connection that stays open.
        await replica.exchange(unknownKey())
        const allowed = softLimit(pid)
        const limit = descriptorsOf(pid) + LEFT
        execFileSync('prlimit', [`--pid=${pid}`, `--nofile=${limit}:`])
        const peers = idlePeers(replica.urls.public)
        environment.onEnd(() => peers.leave())
        const left = () => limit - descriptorsOf(pid)
        const least = await until('none is left', left, count => count <= 0, PATIENCE_MS).catch(left)
        const [starved, unknown] = await Promise.all([
          cpuShare(pid, environment.full ? environment.outageMs : SHORT_MS),
          replica.exchange(unknownKey()),
        ])
        peers.leave()
        execFileSync('prlimit', [`--pid=${pid}`, `--nofile=${allowed}:`])
        const { ms } = await timed(() => answersNewPeers(replica))

        report.invariant('descriptors that are left', least, { atMost: 0, why: WHY.carriedOut })
        report.holds(
          'an unknown key meanwhile is 401, or 503 with Retry-After',
          unknown.status === 401 || (unknown.status === 503 && unknown.headers['retry-after'] !== undefined),
          WHY.honest,
        )
        report.measurement('CPU time that it takes, of a core', starved - usual, { atMost: 0.2 })
        report.promise('new connections are answered again after', ms, {
          usually: 1_000,
          atMost: PATIENCE_MS,
          unit: 'ms',
          why: WHY.recovers,
        })
      },
    )
  },
}

const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length

const softLimit = (pid: number): string =>
  execFileSync('prlimit', [`--pid=${pid}`, '--nofile', '--output=SOFT', '--noheadings'])
    .toString()
    .trim()

/** Peers that connect, send nothing, and connect again when they are closed. */
function idlePeers(url: string): { leave(): void } {
  const { hostname, port } = new URL(url)
  const peers = new Set<Socket>()
  let left = false
  const join = () => {
    if (left) return
    const peer = connect(Number(port), hostname).on('error', () => {})
    peers.add(peer)
    peer.once('close', () => {
      peers.delete(peer)
      setTimeout(join, AGAIN_MS)
    })
  }
  for (let count = 0; count < PEERS; count++) join()
  return {
    leave: () => {
      left = true
      for (const peer of peers) peer.destroy()
    },
  }
}

/** The part of a core that the process uses. */
async function cpuShare(pid: number, ms = 500): Promise<number> {
  const before = cpuMs(pid)
  const begun = performance.now()
  await sleep(ms)
  return (cpuMs(pid) - before) / (performance.now() - begun)
}

const answersNewPeers = ({ urls }: Replica) =>
  until(
    'a new connection is answered',
    () => fetch(`${urls.public}/.well-known/jwks.json`, { headers: { connection: 'close' } }),
    ({ status }) => status === 200,
    PATIENCE_MS,
  )

function works(program: string, ...words: string[]): boolean {
  try {
    execFileSync(program, words, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
