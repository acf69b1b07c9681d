import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { systemClock } from '../../src/system/clock.ts'
import { withTimeout } from '../../src/system/timeout.ts'

const TIMEOUT_MS = 10

it('takes what arrived while the event loop did something else for longer than the timeout', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [peer] = (await once(server, 'connection')) as [Socket]
  const arrived = once(client, 'data')
  // The phase in which timers come next.
  await setImmediate()
  const result = withTimeout(systemClock, TIMEOUT_MS, arrived)
  peer.write('here')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5 * TIMEOUT_MS)
  expect(String(await result)).toBe('here')
  client.destroy()
  server.close()
})

it('gives up what does not arrive', async () => {
  expect(await withTimeout(systemClock, TIMEOUT_MS, new Promise(() => {}))).toBe('timed_out')
})
