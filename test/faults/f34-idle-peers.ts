import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { scrape } from '../observability/metrics-text.ts'
import { timed } from '../support/until.ts'
import type { Environment, Experiment } from './environment/environment.ts'
import { streams } from './environment/load.ts'
import type { Postgres } from './environment/postgres.ts'
import { ADMIN_HEADERS, type Replica, residentBytes } from './environment/replica.ts'
import { WHY } from './environment/report.ts'
import { clientsAt } from './environment/sockets.ts'
import { underLoad } from './environment/under-load.ts'

const MIB = 1_048_576
const SHORT_MS = 1_500
/** Scrapes over one connection, one after the other. */
const SCRAPES = 100
const READERS = 10
/** Rows of an export: more than the kernel buffers of a connection take. */
const ROWS = 5_000
const OPENED_AT_ONCE = 100

/** Peers that do not read what they asked for, and thousands that ask once and then stay. */
export const experiment: Experiment = {
  id: 'F34',
  title: 'Unread scrapes and audit exports, and thousands of idle peers',
  run: async environment => {
    const { report } = environment
    const rate = { perSecond: 5, connections: 5, connected: true }
    const postgres = await environment.postgres()
    await fillAuditTrail(postgres)
    const answered = await underLoad(
      environment,
      { postgres, usually: { p99: 50 }, more: replica => [streams.adminReads([replica], rate)] },
      async ({ replica, changes }) => {
        const before = residentBytes(replica)
        const { authorization } = ADMIN_HEADERS
        const exports = `GET /admin/v1/audit-events/export HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`
        const unread = [
          ...unreadAnswers(
            environment,
            replica.urls.ops,
            'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(SCRAPES),
          ),
          ...unreadAnswers(environment, replica.urls.admin, exports),
        ]
        await sleep(environment.full ? environment.outageMs : SHORT_MS)
        const { ms } = await timed(() => scrape(replica.urls.ops))
        const { series } = await scrape(replica.urls.ops)
        await changes(3)
        const held = residentBytes(replica) - before
        for (const socket of unread) socket.destroy()
        const count = environment.full ? 10_000 : 2_000
        const kept = residentBytes(replica)
        const idle = await idlePeers(environment, replica, count)
        await sleep(environment.full ? environment.outageMs : SHORT_MS)
        const each = (residentBytes(replica) - kept) / count
        await changes(3)

        report.invariant('answers that are not read', unread.length, {
          exactly: 2 * READERS,
          why: WHY.carriedOut,
        })
        report.measurement('another scrape meanwhile', ms, { atMost: 500, unit: 'ms' })
        report.promise(
          'database queries that wait meanwhile',
          series.get('mintmark_database_waiting_queries{pool="main"}') ?? Number.NaN,
          { usually: 5, atMost: 100, unit: '', why: WHY.bounded },
        )
        report.promise('memory that unread answers took', held / MIB, {
          usually: 50,
          atMost: 200,
          unit: 'MiB',
          why: WHY.bounded,
        })
        report.invariant('idle peers', idle, { atLeast: count, why: WHY.carriedOut })
        report.promise('memory of an idle peer', each / 1024, {
          usually: 20,
          atMost: 100,
          unit: 'KiB',
          why: WHY.bounded,
        })
      },
    )
    const reads = answered('adminReads')
    report.invariant('admin reads other than 200, or 503 with Retry-After', reads.wrong(200).count, {
      exactly: 0,
      why: WHY.honest,
    })
    report.measurement('admin reads that were 503', reads.honest.count, { exactly: 0 })
  },
}

/** Rows as of past changes. The export does not verify their hashes. */
async function fillAuditTrail(postgres: Postgres): Promise<void> {
  await postgres.sql(`
    INSERT INTO audit_events (id, at, actor, action, outcome, target_kind, target_id, changes, previous_hash, hash)
      SELECT n, now(), 'root', 'key.update', 'done', 'key', 'key_' || n,
        jsonb_build_object('description', jsonb_build_object('from', null, 'to', repeat('x', 500))),
        sha256((n - 1)::text::bytea), sha256(n::text::bytea)
      FROM generate_series(1, ${ROWS}) AS n;
    UPDATE change_counter SET audit_id = ${ROWS}, audit_hash = sha256('${ROWS}'::bytea)`)
}

/** Connections that send a request, or several, and read nothing. */
function unreadAnswers(environment: Environment, url: string, request: string): Socket[] {
  return Array.from({ length: READERS }, () => {
    const socket = open(url).pause()
    socket.write(request)
    environment.onEnd(() => socket.destroy())
    return socket
  })
}

/** Each has one answer and stays connected. Returns how many of them do. */
async function idlePeers(environment: Environment, replica: Replica, count: number): Promise<number> {
  const all: Socket[] = []
  environment.onEnd(() => all.forEach(peer => void peer.destroy()))
  while (all.length < count) {
    const peers = Array.from({ length: OPENED_AT_ONCE }, () => open(replica.urls.public))
    all.push(...peers)
    await Promise.all(
      peers.map(peer => {
        peer.write('GET /.well-known/openid-configuration HTTP/1.1\r\nHost: x\r\n\r\n')
        return new Promise(resolve => peer.once('data', resolve).once('close', resolve))
      }),
    )
  }
  const { port } = new URL(replica.urls.public)
  const connected = clientsAt(replica.process.pid, Number(port))
  return all.filter(({ localPort = 0 }) => connected.has(localPort)).length
}

function open(url: string): Socket {
  const { hostname, port } = new URL(url)
  return connect(Number(port), hostname).on('error', () => {})
}
