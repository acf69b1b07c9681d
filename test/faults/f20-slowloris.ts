import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { fillKeys } from './scene/known-keys.ts'
import { streams } from './scene/load.ts'
import type { Replica } from './scene/replica.ts'
import { type Experiment, now, type Scene } from './scene/scene.ts'
import { connectionsAt } from './scene/sockets.ts'

const SOCKETS = 2_000
const TRICKLE_MS = 500
const GIVEN_UP_MS = 15_000
const READERS = 5
/** The kernel goes on taking answers for them for a while. */
const READERS_GONE_WITHIN_MS = 20_000
/** More answers than the kernel keeps for a connection. */
const REQUESTS_OF_A_READER = 20_000

/** Ways to take a connection and never let it go: what is sent first, and what again and again. */
const WAYS = {
  headers: {
    first: 'POST /oauth/token HTTP/1.1\r\nHost: x\r\n',
    again: 'x',
    goneWithinMs: 7_000,
  },
  body: {
    first:
      'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type=',
    again: 'x',
    goneWithinMs: 11_000,
  },
} as const
type Way = keyof typeof WAYS

/** 2,000 sockets that send a byte every half second, beside honest clients. */
export const experiment: Experiment = {
  id: 'F20',
  title: 'Slowloris: 2,000 slow sockets',
  run: async scene => {
    const { report } = scene
    const postgres = await scene.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const replica = await scene.replica(postgres.applicationUrl())
    const load = scene.load(
      streams.known(
        [replica],
        keys.map(({ secret }) => secret),
        { perSecond: 200, connections: 50 },
      ),
    )
    await sleep(3_000)
    const before = residentBytes(replica)
    let most = before
    for (const way of ['headers', 'body'] as const) {
      const sockets = await openAll(replica, way)
      scene.onEnd(() => sockets.forEach(({ socket }) => void socket.destroy()))
      report.check(`sockets with slow ${way}`, sockets.length, { exactly: SOCKETS })
      const begun = now()
      while (sockets.some(({ goneAfterMs }) => goneAfterMs === undefined) && now() - begun < GIVEN_UP_MS) {
        await trickle(sockets, WAYS[way].again)
        most = Math.max(most, residentBytes(replica))
      }
      const slowest = Math.max(...sockets.map(({ goneAfterMs }) => goneAfterMs ?? Number.POSITIVE_INFINITY))
      report.check(
        'the last of them was closed after',
        slowest / 1000,
        { atMost: WAYS[way].goneWithinMs / 1000 },
        's',
      )
    }
    const known = (await load.stop())('known')
    report.check('exchanges of known keys meanwhile', known.count, { atLeast: 1_000 })
    report.check('of them failed', known.failing(200).count, { exactly: 0 })
    report.checkPercentile('their 99th percentile', known.quantile(0.99), 50)
    report.check('memory that it took', (most - before) / 1024 / 1024, { atMost: 100 }, 'MiB')
    await slowReaders(scene, replica)
  },
}

/** They ask for the JWKS again and again and never read an answer, nor that their connection was closed. */
async function slowReaders(scene: Scene, replica: Replica): Promise<void> {
  const { hostname, port } = new URL(replica.urls.public)
  const others = connectionsAt(replica.process.pid, Number(port))
  for (let count = 0; count < READERS; count++) {
    const socket = connect(Number(port), hostname)
      .pause()
      .on('error', () => {})
    scene.onEnd(() => socket.destroy())
    socket.write('GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(REQUESTS_OF_A_READER))
  }
  const held = () => connectionsAt(replica.process.pid, Number(port)) - others
  await until('they are connected', held, count => count === READERS)
  const begun = now()
  await until('they are gone', held, count => count <= 0, 2 * READERS_GONE_WITHIN_MS)
  const bar = { atMost: READERS_GONE_WITHIN_MS / 1000 }
  scene.report.check(
    `the last of ${READERS} that never read was closed after`,
    (now() - begun) / 1000,
    bar,
    's',
  )
}

/** A byte over each, spread over half a second. */
async function trickle(sockets: readonly Slow[], byte: string): Promise<void> {
  const step = SOCKETS / (TRICKLE_MS / 10)
  for (let from = 0; from < sockets.length; from += step) {
    for (const { socket, goneAfterMs } of sockets.slice(from, from + step)) {
      if (goneAfterMs === undefined) socket.write(byte)
    }
    await sleep(10)
  }
}

interface Slow {
  socket: Socket
  goneAfterMs: number | undefined
}

async function openAll(replica: Replica, way: Way): Promise<Slow[]> {
  const { hostname, port } = new URL(replica.urls.public)
  const open = async (): Promise<Slow> => {
    const socket = connect(Number(port), hostname)
    const slow: Slow = { socket, goneAfterMs: undefined }
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    const begun = now()
    const gone = () => {
      slow.goneAfterMs ??= now() - begun
    }
    socket.on('error', gone).on('end', gone).on('close', gone).resume()
    socket.write(WAYS[way].first)
    return slow
  }
  const opened: Slow[] = []
  while (opened.length < SOCKETS) {
    opened.push(...(await Promise.all(Array.from({ length: 10 }, open))))
    await sleep(10)
  }
  return opened
}

function residentBytes(replica: Replica): number {
  const [, kilobytes] =
    /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${replica.process.pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}
