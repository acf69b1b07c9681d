import type { Overrides } from '../../src/service/service.ts'
import { startTestService, type TestService } from './test-service.ts'

/** Where nobody listens: LISTEN fails, and replicas are as quick as their polls. */
export const NOBODY = 'postgres://nobody@127.0.0.1:1/none'

/** One more process on the database of `service`, with its secrets. */
export function startReplica(
  service: TestService,
  env: Record<string, string> = {},
  overrides: Overrides = {},
): Promise<TestService> {
  return startTestService({ database: service.database, env: { ...service.environment, ...env }, overrides })
}
