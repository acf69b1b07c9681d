import type { TestService } from './test-service.ts'
import { until } from './until.ts'

/**
 * The service has read every change. The response to a change waits for that for a limited time only: on a busy machine a
 * snapshot that is written next may lack the change.
 */
export const caughtUp = ({ database, service }: TestService) =>
  until('every change is read', async () => {
    const [last] = await database.asOwner<{ number: string }>('SELECT number FROM change_counter')
    return service.changes.position === last?.number
  })
