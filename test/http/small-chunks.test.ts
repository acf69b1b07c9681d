import { connect } from 'node:net'
import { afterEach, beforeEach, expect, it, onTestFinished } from 'vitest'
import { readBody } from '../../src/http/body.ts'
import { Listener } from '../../src/http/listener.ts'
import { routeTable } from '../../src/http/route-table.ts'
import { createLogger } from '../../src/system/logger.ts'
import { systemRandom } from '../../src/system/random.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'
import { until } from '../support/until.ts'

const logger = createLogger('silent', { write: () => {} })
const MOST = { total: 500, ofOneSource: 500 }
const LIMIT = 1_000_000

let listener: Listener
/** Lengths of the bodies that were read. */
let read: number[]
/** How often Node gave a handler some of a body. */
let parts: number
beforeEach(async () => {
  read = []
  parts = 0
  const policy = { most: MOST, sourceOf: (address: string) => address, isProxy: () => false, logger }
  const clock = adjustableClock()
  listener = await Listener.bind('public', { host: '127.0.0.1', port: 0 }, clock, policy)
  const application = routeTable({
    routes: [
      {
        path: '/',
        handle: async (req, res) => {
          req.on('data', () => parts++)
          read.push((await readBody(req, LIMIT)).length)
          res.end('read')
        },
      },
    ],
    readiness: { ready: true, serving: true, reason: '' },
    refuse: (_, res) => void res.writeHead(400).end(),
  })
  listener.serve(application, {
    logger,
    clock,
    random: systemRandom,
    noteDuration: () => {},
    trusts: () => false,
  } as never)
})
afterEach(() => listener.close(0, 0))

const HEAD = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'
const chunksOf = (bytes: number, count: number) =>
  `${`${bytes.toString(16)}\r\n${'a'.repeat(bytes)}\r\n`.repeat(count)}0\r\n\r\n`

/** Everything that is answered until the connection closes, or one whole response has come. */
async function answerTo(text: string): Promise<string> {
  const socket = connect(listener.address?.port ?? 0, '127.0.0.1').on('error', () => {})
  onTestFinished(() => void socket.destroy())
  let answer = ''
  socket.on('data', part => {
    answer += part
  })
  socket.write(text)
  await until('it is answered', () => answer.includes('read') || socket.destroyed)
  return answer
}

it.each([
  ['a byte', 1, 65, '400'],
  ['31 bytes', 31, 65, '400'],
  ['a byte, as many as may have any size', 1, 64, '200'],
  ['36 bytes', 36, 5_000, '200'],
  ['4 KiB', 4_096, 100, '200'],
])('a body in chunks of %s', async (_, bytes, count, status) => {
  expect(await answerTo(HEAD + chunksOf(bytes, count))).toMatch(`HTTP/1.1 ${status} `)
  expect(read).toEqual(status === '200' ? [bytes * count] : [])
})

it('a body whose chunks become small', async () => {
  expect(await answerTo(`${HEAD}400\r\n${'a'.repeat(1024)}\r\n${chunksOf(1, 100)}`)).toMatch('HTTP/1.1 400 ')
})

it('later bodies are read whole by the parsers that skipped one', async () => {
  const body = chunksOf(1, 20_000)
  for (let round = 0; round < 5; round++) {
    const refused = Array.from({ length: 20 }, () => answerTo(HEAD + body))
    const taken = Array.from({ length: 20 }, () => answerTo(HEAD + chunksOf(1_000, 100)))
    const answers = await Promise.all([...refused, ...taken])
    expect(answers.filter(answer => answer.includes(' 200 '))).toHaveLength(20)
  }
  expect(read).toEqual(Array(100).fill(100_000))
})

it('no more of it is read than that, of however many connections', async () => {
  const connections = 50
  const body = HEAD + chunksOf(1, 100_000)
  await Promise.all(Array.from({ length: connections }, () => answerTo(body)))
  expect(parts).toBeLessThanOrEqual(64 * connections)
  expect(read).toEqual([])
})
