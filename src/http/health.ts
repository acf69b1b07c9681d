import { Unavailable } from '../errors.ts'

/** Whether this process should get traffic, and if not, the reason for an operator. */
export interface Readiness {
  readonly ready: boolean
  /** True once ready, and while draining afterwards: requests are answered. */
  readonly serving: boolean
  readonly reason: string
}

/** The error until the process has been ready; each listener answers it as 503 in its own format. */
export function notReady({ serving, reason }: Readiness): Unavailable | undefined {
  if (serving) return undefined
  return new Unavailable('The service is not ready. Retry.', { cause: new Error(reason) })
}
