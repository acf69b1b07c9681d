import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from '../support/until.ts'
import { type Environment, type Experiment, now } from './environment/environment.ts'
import { fillKeys } from './environment/known-keys.ts'
import { streams } from './environment/load.ts'
import { reportExchanges } from './environment/outage.ts'
import { type Replica, residentBytes } from './environment/replica.ts'
import { WHY } from './environment/report.ts'
import { clientsAt, openConnections } from './environment/sockets.ts'

const SOCKETS = 2_000
const TRICKLE_MS = 500
const GIVEN_UP_MS = 40_000
const READERS = 5
/** More responses than the kernel buffers for a connection. */
const REQUESTS_OF_A_READER = 20_000

/** Ways to occupy a connection: what is sent first, and what repeatedly. */
const WAYS = {
  headers: {
    first: 'POST /oauth/token HTTP/1.1\r\nHost: x\r\n',
    again: 'x',
    usuallyGoneAfterS: 7,
  },
  body: {
    first:
      'POST /oauth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\ngrant_type=',
    again: 'x',
    usuallyGoneAfterS: 11,
  },
} as const
type Way = keyof typeof WAYS

/** 2,000 sockets that send a byte every half second, next to honest clients. */
export const experiment: Experiment = {
  id: 'F20',
  title: 'Slowloris: 2,000 slow sockets',
  run: async environment => {
    const { report } = environment
    const postgres = await environment.postgres()
    const keys = await fillKeys(postgres, 1_000)
    const replica = await environment.replica(postgres.applicationUrl())
    const load = environment.load(
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
      environment.onEnd(() => sockets.forEach(({ socket }) => void socket.destroy()))
      report.invariant(`sockets with slow ${way}`, sockets.length, { exactly: SOCKETS, why: WHY.carriedOut })
      const begun = now()
      while (sockets.some(({ goneAfterMs }) => goneAfterMs === undefined) && now() - begun < GIVEN_UP_MS) {
        await trickle(sockets, WAYS[way].again)
        most = Math.max(most, residentBytes(replica))
      }
      const slowest = Math.max(...sockets.map(({ goneAfterMs }) => goneAfterMs ?? Number.POSITIVE_INFINITY))
      report.promise(`the last of the sockets with slow ${way} was closed after`, slowest / 1000, {
        usually: WAYS[way].usuallyGoneAfterS,
        atMost: GIVEN_UP_MS / 1000,
        unit: 's',
        why: WHY.bounded,
      })
    }
    reportExchanges(report, (await load.stop())('known'), { atLeast: 100, p99: 50 })
    report.promise('memory that it took', (most - before) / 1024 / 1024, {
      usually: 100,
      atMost: 400,
      unit: 'MiB',
      why: WHY.bounded,
    })
    await slowReaders(environment, replica)
  },
}

/** They request the JWKS repeatedly and never read a response, nor the end of their connection. */
async function slowReaders(environment: Environment, replica: Replica): Promise<void> {
  const { hostname, port } = new URL(replica.urls.public)
  const readers = await Promise.all(
    Array.from({ length: READERS }, async () => {
      const socket = connect(Number(port), hostname).pause()
      environment.onEnd(() => socket.destroy())
      await once(socket, 'connect')
      socket.on('error', () => {})
      socket.write('GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(REQUESTS_OF_A_READER))
      return socket.localPort ?? 0
    }),
  )
  // By their own ports: connections of the exchanges before may be closing still.
  const accepted = new Set<number>()
  const held = () => {
    const clients = clientsAt(replica.process.pid, Number(port))
    return readers.filter(reader => clients.has(reader))
  }
  // The answers to one that is read no further fit into the kernel's buffers, so it may be gone before it is looked at.
  const acceptedSoFar = () => {
    const open = openConnections()
    for (const reader of [...held(), ...readers.filter(port => !open.has(port))]) accepted.add(reader)
    return accepted.size
  }
  await until('each was accepted', acceptedSoFar, count => count === READERS, GIVEN_UP_MS)
  const begun = now()
  await until('they are gone', held, readers => readers.length === 0, 2 * GIVEN_UP_MS)
  // The kernel buffers responses for them for a while.
  environment.report.promise(
    `the last of ${READERS} that never read was closed after`,
    (now() - begun) / 1000,
    {
      usually: 20,
      atMost: (2 * GIVEN_UP_MS) / 1000,
      unit: 's',
      why: WHY.bounded,
    },
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
