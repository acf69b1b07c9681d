import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { MODEL_ROUTES } from '../../src/gateway/headers.ts'
import { chat, send } from './client.ts'
import { type Environment, GATEWAYS, startEnvironment } from './environment.ts'
import { noEnvoy } from './envoy.ts'

let environment: Environment
beforeAll(async () => {
  if (!noEnvoy) environment = await startEnvironment()
})
afterAll(() => environment?.stop())
beforeEach(() => environment?.upstream.forget())

const JUMPS = [-999, '-999', 0, null, -1e9, [-999]]

describe.skipIf(noEnvoy).each(GATEWAYS)('behind %s', name => {
  it.each(MODEL_ROUTES.filter(route => route.priorityFromHeader))(
    'the header overrides a body priority on $path',
    async ({ path }) => {
      for (const [tenant, priority] of [
        ['acme', -10],
        ['initech', 0],
        ['globex', 10],
      ] as const) {
        for (const jump of JUMPS) {
          environment.upstream.forget()
          await send(environment.gateways[name].url, {
            token: environment.tokens[tenant],
            path,
            body: chat('llama-3-8b', { priority: jump }),
          })
          expect(environment.upstream.theRequest().priority).toBe(priority)
        }
      }
    },
  )

  it.each(MODEL_ROUTES.filter(route => !route.priorityFromHeader))(
    'a body priority is rejected on $path, where no header overrides it',
    async ({ path }) => {
      for (const priority of JUMPS) {
        const answer = await send(environment.gateways[name].url, {
          token: environment.tokens.globex,
          path,
          body: chat('llama-3-8b', { priority }),
        })
        expect(answer.status).toBe(400)
      }
      expect(environment.upstream.requests).toHaveLength(0)
      expect(
        await send(environment.gateways[name].url, { token: environment.tokens.globex, path }),
      ).toMatchObject({
        status: 200,
      })
      expect(environment.upstream.theRequest().priority).toBe(0)
    },
  )
})
