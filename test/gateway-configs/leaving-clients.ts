import { describe, expect, it } from 'vitest'
import { BUSY, until } from '../support/until.ts'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment } from './check-environment.ts'
import { MANY } from './honest-clients.ts'
import { ask, type Given, startSlowEngine } from './slow-engine.ts'

/** An engine computes for a client that has left until its connection ends, and others wait meanwhile. */
export function checkLeavingClients(
  name: string,
  expected: Expected,
  environment: () => CheckEnvironment,
): void {
  describe.skipIf(expected.absent)(`${name} and clients that leave`, () => {
    const cases = [true, false].flatMap(stream =>
      (['nothing', 'a part'] as const).map((given): [string, boolean, Given] => {
        const when = `during the ${given === 'nothing' ? 'prompt' : 'answer'}`
        return [`${stream ? 'streamed' : 'not streamed'}, ${when}`, stream, given]
      }),
    )
    it.each(cases)('ends the work of the engine when a client leaves: %s', async (when, stream, given) => {
      const { behind, acme } = environment()
      const engine = await startSlowEngine(given)
      const gateway = await expected.start({
        ...behind,
        ports: { ...behind.ports, upstream: engine.port },
      })
      try {
        for (const kind of expected.credentials) {
          const client = ask(gateway.url, kind === 'key' ? acme.secret : acme.token, { stream })
          if (given === 'a part') await client.begun
          await until(
            'the engine works',
            () => engine.running(),
            running => running === 1,
          )
          const left = performance.now()
          client.leave()
          await until(
            'the engine has stopped',
            () => engine.running(),
            running => running === 0,
          )
          const ms = (engine.abortedAt() ?? Number.NaN) - left
          if (MANY)
            console.log(`${name}, with a ${kind}: ${when}: the engine stops after ${ms.toFixed(1)} ms`)
          expect(ms).toBeLessThan(MANY ? 1_000 : 1_000 * BUSY)
        }
      } finally {
        await gateway.stop()
        await engine.stop()
      }
    })
  })
}
