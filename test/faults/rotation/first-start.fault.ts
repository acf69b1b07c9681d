import { describe, expect, it } from 'vitest'
import { startProcess } from '../../support/service-process.ts'
import { TcpProxy } from '../../support/tcp-proxy.ts'
import { createTestDatabase } from '../../support/test-database.ts'
import { request, testEnvironment } from '../../support/test-service.ts'
import { timed, until } from '../../support/until.ts'
import { FULL, PATIENCE_MS, showMeasurement, storedKeys } from './replica-set.ts'

const ROUNDS = FULL ? 5 : 1

describe('five replicas that wait for an empty database', () => {
  it.each(Array.from({ length: ROUNDS }, (_, round) => round + 1))(
    'create one active and one standby key, and become ready without help (round %i)',
    async () => {
      const database = await createTestDatabase()
      const network = await TcpProxy.before(database.applicationUrl)
      await network.become('refuse')
      const env = { ...testEnvironment(), DATABASE_URL: network.url }
      const processes = Array.from({ length: 5 }, () => startProcess(env))
      await Promise.all(
        processes.map(({ logged }) =>
          until('it waits for the database', () => logged('not ready')[0], Boolean, PATIENCE_MS),
        ),
      )
      await network.become('none')
      const { ms, result: urls } = await timed(() =>
        Promise.all(processes.map(process => process.ready(PATIENCE_MS))),
      )
      const texts = await Promise.all(
        urls.map(async url => (await request(`${url.public}/.well-known/jwks.json`)).text),
      )
      const states = (await storedKeys(database)).map(key => key.state).sort()
      await Promise.all(processes.map(process => process.kill()))
      await network.close()
      await database.drop()
      showMeasurement('five replicas are ready after the database', ms, { atMost: 3_000, unit: 'ms' })
      expect(states).toEqual(['active', 'standby'])
      expect(new Set(texts).size).toBe(1)
    },
  )
})
