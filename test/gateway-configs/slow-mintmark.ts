import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { CHECK_SECONDS } from '../../deploy/generate/example.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { until } from '../support/until.ts'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment } from './check-environment.ts'
import { type Answer, send } from './client.ts'

/** Longer than any gateway once waited, and shorter than they wait now. */
const HELD_MS = (CHECK_SECONDS * 1_000) / 2
/** An answer that leaves Mintmark by then is in time. In a round in which the machine was slower nothing is shown. */
const IN_TIME_MS = CHECK_SECONDS * 900
const MOST_ROUNDS = 10

/** What a client sees while Mintmark is slow, or loses a connection: nothing. */
export function checkSlowMintmark(
  name: string,
  expected: Expected,
  environment: () => CheckEnvironment,
): void {
  const asks = expected.credentials.includes('key')

  /** A gateway whose checks pass through the proxies, one for each of Mintmark's listeners. */
  async function throughProxies(
    work: (url: string, proxies: readonly TcpProxy[]) => Promise<void>,
  ): Promise<void> {
    const { behind } = environment()
    const before = (port: number) => TcpProxy.before(`http://127.0.0.1:${port}`)
    const [http, grpc] = await Promise.all([before(behind.ports.gateway), before(behind.ports.gatewayGrpc)])
    const ports = { gateway: Number(new URL(http.url).port), gatewayGrpc: Number(new URL(grpc.url).port) }
    const gateway = await expected.start({ ...behind, ports: { ...behind.ports, ...ports } })
    try {
      await work(gateway.url, [http, grpc])
    } finally {
      await gateway.stop()
      await Promise.all([http.close(), grpc.close()])
    }
  }
  /** Asks with a key of which no gateway has kept a result. Mintmark has answered the check, and the answer is held back. */
  async function askWhileHeld(
    url: string,
    proxies: readonly TcpProxy[],
  ): Promise<{ began: number; answer: Promise<Answer> }> {
    const { secret } = await environment().holder()
    for (const proxy of proxies) await proxy.become('hold')
    const began = performance.now()
    const answer = send(url, { token: secret })
    await until('Mintmark has answered', () => proxies.some(({ holding }) => holding > 0))
    return { began, answer }
  }

  describe.skipIf(expected.absent || !asks)(`${name} and a slow Mintmark`, () => {
    it('waits for the answer to a check that takes seconds', { timeout: 180_000 }, async () => {
      await throughProxies(async (url, proxies) => {
        for (let round = 1; round <= MOST_ROUNDS; round++) {
          const { began, answer } = await askWhileHeld(url, proxies)
          await sleep(Math.max(0, began + HELD_MS - performance.now()))
          for (const proxy of proxies) await proxy.become('none')
          const ms = performance.now() - began
          const { status } = await answer
          if (ms > IN_TIME_MS) continue
          expect(status).toBe(200)
          return
        }
        throw new Error(`in none of ${MOST_ROUNDS} rounds Mintmark's answer was in time`)
      })
    })

    it('asks at once when Mintmark is back, however many connections were lost', async () => {
      await throughProxies(async (url, proxies) => {
        const { secret } = await environment().holder()
        for (const proxy of proxies) await proxy.become('cut')
        for (let lost = 0; lost < 4; lost++) expect((await send(url, { token: secret })).status).toBe(503)
        for (const proxy of proxies) await proxy.become('none')
        expect((await send(url, { token: secret })).status).toBe(200)
      })
    })

    it('asks again when the connection to Mintmark ends during a check', async () => {
      await throughProxies(async (url, proxies) => {
        const { answer } = await askWhileHeld(url, proxies)
        for (const proxy of proxies) await proxy.become('cut')
        for (const proxy of proxies) await proxy.become('none')
        const { status, headers } = await answer
        expect({ status, retryAfter: headers['retry-after'] }).toEqual(
          expected.asksAgain === false
            ? { status: 503, retryAfter: '1' }
            : { status: 200, retryAfter: undefined },
        )
      })
    })
  })
}
