import type { Overrides } from '../../src/service/service.ts'
import { startTestService, type TestService } from './test-service.ts'

/** A URL without a server: LISTEN fails, and replicas are as fast as their polls. */
export const NO_SERVER = 'postgres://nobody@127.0.0.1:1/none'

/** Another process on the database of `service`, with its secrets. */
export function startReplica(
  service: TestService,
  env: Record<string, string> = {},
  overrides: Overrides = {},
): Promise<TestService> {
  return startTestService({ database: service.database, env: { ...service.environment, ...env }, overrides })
}
