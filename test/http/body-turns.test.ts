import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { describe, expect, it, onTestFinished } from 'vitest'
import { readBody } from '../../src/http/body.ts'
import { boundUnread, handleBody } from '../../src/http/body-turns.ts'
import { until } from '../support/until.ts'

const CONNECTIONS = 48
const BODY_BYTES = 2_000_000
/** What Node reads at once. */
const PART_BYTES = 65_536
/** Those of a turn and, at the beginning, of each connection, with as many that Node reads ahead. Otherwise it reads up to 32 of each connection. */
const MOST_BYTES = 2 * (4 + CONNECTIONS) * PART_BYTES

/** Sends a body over each connection as fast as it is taken. */
const SENDER = `
  const { connect } = require('node:net')
  const { port, connections, framing, body } = require('node:worker_threads').workerData
  for (let each = 0; each < connections; each++) {
    const socket = connect(port, '127.0.0.1')
    socket.write('POST / HTTP/1.1\\r\\nHost: x\\r\\n' + framing + '\\r\\n\\r\\n')
    socket.write(body)
    socket.on('error', () => {}).resume()
  }`

/** Settles when the whole body was read. */
type Read = (req: IncomingMessage, res: ServerResponse) => Promise<unknown>

/**
 * Every connection sends such a body, which `read` reads. Returns the most bytes that were read of all of them in one turn, and
 * of each connection.
 */
async function readingOf(framing: string, body: string, read: Read) {
  const requests: IncomingMessage[] = []
  let wholeBodies = 0
  const server = createServer((req, res) => {
    requests.push(req)
    void read(req, res).then(() => wholeBodies++)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await until('the server listens', () => server.listening, Boolean)
  const { port } = server.address() as AddressInfo
  const workerData = { port, connections: CONNECTIONS, framing, body }
  const worker = new Worker(SENDER, { eval: true, workerData })
  onTestFinished(async () => void (await worker.terminate()))
  let most = 0
  let before = new Map<IncomingMessage, number>()
  while (wholeBodies < CONNECTIONS) {
    await turn()
    const read = new Map(requests.map(req => [req, req.socket.bytesRead]))
    // The first part of a connection is read before it is known what comes.
    const more = [...read].map(([req, bytes]) => bytes - (before.get(req) ?? bytes))
    most = Math.max(
      most,
      more.reduce((sum, bytes) => sum + bytes, 0),
    )
    before = read
  }
  return { most, bytesRead: requests.map(({ socket }) => socket.bytesRead) }
}

describe('long bodies', () => {
  const WAYS: readonly [string, Read][] = [
    ['that are wanted', req => readBody(req, BODY_BYTES)],
    [
      'that were refused',
      (req, res) => {
        res.once('close', () => boundUnread(req)).end()
        return until('the body has come', () => req.complete, Boolean)
      },
    ],
  ]

  it.each(WAYS)('%s are read a few parts in a turn, those of all connections together', async (_, read) => {
    const { most, bytesRead } = await readingOf(`Content-Length: ${BODY_BYTES}`, 'a'.repeat(BODY_BYTES), read)
    expect(most).toBeLessThanOrEqual(MOST_BYTES)
    expect(bytesRead.every(bytes => bytes > BODY_BYTES)).toBe(true)
  })

  it.each(WAYS)('%s are read even if they come in chunks of a byte', async (_, read) => {
    const body = `${'1\r\na\r\n'.repeat(20_000)}0\r\n\r\n`
    const { bytesRead } = await readingOf('Transfer-Encoding: chunked', body, read)
    expect(bytesRead.every(bytes => bytes > body.length)).toBe(true)
  })

  it('are handled a few in a turn, and one that is longer than those alone', async () => {
    const handled: string[] = []
    const bodies: [string, number][] = [
      ['long', 4_000_000],
      ['short', 4_096],
      ['of 100 kB', 100_000],
      ['of 200 kB', 200_000],
      ['last', 5_000],
    ]
    for (const [name, bytes] of bodies) handleBody(bytes, '192.0.2.1', () => handled.push(name))
    const seen = [handled.length]
    for (let each = 0; each < 3; each++) {
      await turn()
      seen.push(handled.length)
    }
    expect(seen).toEqual([1, 2, 4, 5])
    expect(handled).toEqual(['short', 'long', 'of 100 kB', 'of 200 kB', 'last'])
  })

  it('of one network wait for one of each other network, not for all that came before', async () => {
    const handled: string[] = []
    const handle = (peer: string) => handleBody(4_000_000, peer, () => handled.push(peer))
    for (let each = 0; each < 100; each++) handle(`192.0.2.${each}`)
    for (const peer of ['198.51.100.1', '2001:db8::1', '198.51.100.2']) handle(peer)
    for (let each = 0; each < 5; each++) await turn()
    expect(handled).toEqual(['192.0.2.0', '198.51.100.1', '2001:db8::1', '192.0.2.1', '198.51.100.2'])
    await until(
      'all are handled',
      () => handled.length,
      count => count === 103,
    )
  })
})
