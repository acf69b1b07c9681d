import type { Overrides } from '../../src/service/service.ts'
import { TcpProxy } from './tcp-proxy.ts'
import { createTestDatabase } from './test-database.ts'
import { startTestService, type TestService } from './test-service.ts'

/** A URL without a server: LISTEN fails, and replicas are as fast as their polls. */
export const NO_SERVER = 'postgres://nobody@127.0.0.1:1/none'

/** Two replicas; what `proxy` does happens between Postgres and the second. */
export interface TwoReplicas {
  mintmark: TestService
  other: TestService
  proxy: TcpProxy
  stop(): Promise<void>
}

export async function startTwoReplicas(): Promise<TwoReplicas> {
  const database = await createTestDatabase()
  const mintmark = await startTestService({ database })
  const proxy = await TcpProxy.before(database.applicationUrl)
  const other = await startReplica(mintmark, { DATABASE_URL: proxy.url })
  return {
    mintmark,
    other,
    proxy,
    stop: async () => {
      await proxy.become('none')
      await Promise.all([other.stop(), mintmark.stop()])
      await proxy.close()
      await database.drop()
    },
  }
}

/** Another process on the database of `service`, with its secrets. */
export function startReplica(
  service: TestService,
  env: Record<string, string> = {},
  overrides: Overrides = {},
): Promise<TestService> {
  return startTestService({ database: service.database, env: { ...service.environment, ...env }, overrides })
}
