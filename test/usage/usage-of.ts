import type { TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import type { UsageRow } from './reports.ts'

/** What is counted of a key, once anything is. */
export function usageOf({ admin }: Pick<TestService, 'admin'>, key: string): Promise<UsageRow> {
  const read = async () => (await admin('GET', `/usage?group_by=tenant,key&key=${key}`)).body.data[0]
  return until('something is counted of the key', read, row => row !== undefined)
}
