import { Unavailable } from '../errors.ts'

/** Whether this process should get traffic, and if not, why not, in words for an operator. */
export interface Readiness {
  readonly ready: boolean
  /** Requests that reach it are answered: ready, or draining after that. */
  readonly serving: boolean
  readonly reason: string
}

/** Why a request cannot be answered before the process has been ready; each listener answers it 503 in its own words. */
export function notReady({ serving, reason }: Readiness): Unavailable | undefined {
  if (serving) return undefined
  return new Unavailable('The service is not ready. Retry.', { cause: new Error(reason) })
}
