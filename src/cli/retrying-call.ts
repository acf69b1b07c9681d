import { CannotStart } from '../errors.ts'
import type { Clock } from '../system/clock.ts'

/** For so long one call is repeated. */
const PATIENCE_MS = 20_000
const DEFAULT_RETRY_AFTER_SECONDS = 1

/**
 * The first answer to `send` that is not 503. After a 503 it is sent again, once Retry-After is over, for at most
 * 20 seconds; so it must be safe to repeat. `what` names it in the error, as in `POST /admin/v1/tenants`.
 * @throws {CannotStart} with the last answer and the cure, as soon as the next try would come too late.
 */
export async function retryingCall(
  clock: Clock,
  what: string,
  send: () => Promise<Response>,
): Promise<Response> {
  const deadline = clock.monotonicMs() + PATIENCE_MS
  for (;;) {
    const response = await send()
    if (response.status !== 503) return response
    const waitMs = retryAfterSeconds(response) * 1000
    if (clock.monotonicMs() + waitMs > deadline) {
      throw new CannotStart(
        `${what} is answered 503 (${await reasonOf(response)}), and retries for up to ${PATIENCE_MS / 1000} seconds do not help. The machine or its disk may be too busy: run the quickstart again, it continues with what was created`,
      )
    }
    await response.body?.cancel()
    await clock.sleep(waitMs)
  }
}

function retryAfterSeconds({ headers }: Response): number {
  const text = headers.get('retry-after') ?? ''
  return /^\d{1,6}$/.test(text) ? Number(text) : DEFAULT_RETRY_AFTER_SECONDS
}

/** What a problem document (admin API) or an OAuth error says. */
async function reasonOf(response: Response): Promise<string> {
  const body = (await response.json().catch(() => ({}))) as Record<string, string>
  return body.detail ?? body.error_description ?? 'no reason given'
}
