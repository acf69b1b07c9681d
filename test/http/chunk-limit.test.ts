import { createServer, request, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { limitChunks } from '../../src/http/chunk-limit.ts'
import { systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { until } from '../support/until.ts'

/** Of all connections in one turn, and of each at first. */
const MOST = 4_096
const FIRST = 16
const HEAD = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
const END = '0\r\n\r\n'
const chunks = (count: number) => '1\r\na\r\n'.repeat(count)

let server: Server
let lines: Record<string, unknown>[]
/** Chunks of each request that were read. */
let read: number[]
/** Requests whose body ended, as the server sees it. */
let whole: number
beforeEach(() => {
  lines = []
  read = []
  whole = 0
  server = createServer((req, res) => {
    const index = read.push(0) - 1
    req
      .on('data', () => {
        read[index] = (read[index] ?? 0) + 1
      })
      .on('error', () => {})
      .once('end', () => {
        whole++
        res.end(`${read[index]} read`)
      })
  })
  const logger = createLogger('info', { write: line => lines.push(JSON.parse(line)) })
  limitChunks(server, 'public', logger, systemClock)
})
afterEach(() => server.close())

/**
 * A connection on which the server reads each text at once, as it reads up to 64 KiB of a socket. As a socket it emits its close
 * only once the turn in which it was destroyed is over.
 */
class Connection extends Duplex {
  answer = ''

  constructor() {
    super({ emitClose: false })
    this.on('error', () => {})
    server.emit('connection', this)
  }

  sends(text: string): void {
    this.push(text, 'latin1')
  }

  override _read(): void {}

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    done(error)
    setImmediate(() => setImmediate(() => this.emit('close')))
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.answer += chunk.toString('latin1')
    done()
  }
}

/** One turn has ended, and what it has begun too. */
async function turnsPass(): Promise<void> {
  for (let each = 0; each < 5; each++) await nextTurn()
}

it('reads so many chunks in a turn, and closes the connection that sends more with 400', async () => {
  const connection = new Connection()
  connection.sends(HEAD + chunks(20_000) + END + HEAD + chunks(1) + END)
  await turnsPass()
  expect(read).toEqual([MOST + FIRST])
  expect(connection.answer).toBe('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
  expect(connection.destroyed).toBe(true)
  expect(whole).toBe(0)
  expect(lines).toMatchObject([{ listener: 'public', chunks: MOST + FIRST + 1 }])
})

it('handles no body that it cut, of a client over TCP', async () => {
  server.listen(0, '127.0.0.1')
  await until('it listens', () => server.listening)
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
  let answer = ''
  socket.on('data', part => {
    answer += part
  })
  // Less than Node reads at once.
  socket.write(HEAD + chunks(2 * MOST) + END)
  await until('it is closed', () => socket.destroyed)
  await turnsPass()
  // The kernel may have split it, so that each turn had few enough.
  expect(answer).toMatch(whole === 0 ? /^HTTP\/1.1 400 / : /^HTTP\/1.1 200 .*8192 read/s)
})

it('refuses with 503 what comes in a turn in which others sent too many, but not bodies of a few chunks', async () => {
  const connections = Array.from({ length: 4 }, () => new Connection())
  const [many, few, some, most] = connections as [Connection, Connection, Connection, Connection]
  many.sends(HEAD + chunks(MOST) + END)
  most.sends(HEAD + chunks(MOST / 4))
  some.sends(HEAD + chunks(2 * FIRST + 1) + END)
  few.sends(HEAD + chunks(FIRST) + END)
  await turnsPass()
  expect(many.answer).toMatch(/^HTTP\/1.1 200 /)
  expect(few.answer).toMatch(/^HTTP\/1.1 200 .*16 read/s)
  for (const { answer } of [most, some])
    expect(answer).toBe('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\n')
  // A body that was cut is not handled as a whole one.
  expect(whole).toBe(2)
  expect(lines).toHaveLength(1)
})

it('reads the body of a connection that sent bodies in earlier turns, whatever others send now', async () => {
  const [kept, flood] = [new Connection(), new Connection()]
  const body = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\na'
  for (let each = 0; each < FIRST; each++) {
    kept.sends(body)
    await turnsPass()
  }
  flood.sends(HEAD)
  await turnsPass()
  flood.sends(chunks(MOST + FIRST))
  kept.sends(body)
  await turnsPass()
  expect(kept.answer.match(/HTTP\/1.1 200 /g)).toHaveLength(FIRST + 1)
  expect(kept.destroyed).toBe(false)
})

it('answers no other request for a body that it cut', async () => {
  const connection = new Connection()
  connection.sends('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n')
  await turnsPass()
  // The first one is not answered before the second one is cut.
  connection.sends(`a${HEAD}${chunks(MOST + FIRST + 1)}${END}`)
  await turnsPass()
  expect(connection.answer).not.toMatch('HTTP/1.1 400 ')
  expect(connection.destroyed).toBe(true)
})

it('reads any number of chunks in many turns', async () => {
  const connection = new Connection()
  connection.sends(HEAD)
  for (let each = 0; each < 4; each++) {
    connection.sends(chunks(MOST))
    await turnsPass()
  }
  connection.sends(END)
  await turnsPass()
  expect(connection.answer).toMatch(/^HTTP\/1.1 200 /)
  expect(read).toEqual([4 * MOST])
})

it("gives Node's parser back as it was, for other connections and for clients", async () => {
  for (let each = 0; each < 3; each++) new Connection().sends(HEAD + chunks(MOST + FIRST + 1))
  await turnsPass()
  server.listen(0, '127.0.0.1')
  await until('it listens', () => server.listening)
  const { port } = server.address() as AddressInfo
  for (let each = 0; each < 3; each++) {
    const text = await new Promise<string>((resolve, reject) => {
      const sent = request({ port, host: '127.0.0.1', method: 'POST', agent: false }, async answer =>
        resolve((await answer.toArray()).join('')),
      )
      sent.once('error', reject)
      sent.write('a')
      sent.end('b')
    })
    expect(text).toMatch(/^[12] read$/)
  }
})
