import type { CurrentPolicy } from '../installation/current-policy.ts'
import { MinuteLimit } from '../system/minute-limit.ts'
import type { Admin } from './admin-auth.ts'
import { mayChange, type Right } from './rights-table.ts'

/** The administrators of a tenant changed too much in this minute. */
export class TooManyWrites extends Error {
  override readonly name = 'TooManyWrites'
  readonly retryAfterSeconds: number
  constructor(limit: number, retryAfterSeconds: number) {
    super(
      `Too many changes by the administrators of this tenant: the limit is ${limit} per minute (tenant_writes_per_minute). ` +
        'Retry after the time in Retry-After, or ask an operator of the installation to raise the limit.',
    )
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/**
 * Limits the changes of each tenant's own administrators, by the policy, so that none of them can fill the audit trail
 * and the change feed, which all tenants share. Counted by tenant and minute, in this process only, before the request is
 * carried out and whatever becomes of it. Administrators who are bound to no tenant are not limited.
 */
export class WriteLimit {
  readonly #policy: CurrentPolicy
  readonly #counts = new MinuteLimit()

  constructor({ policy }: { policy: CurrentPolicy }) {
    this.#policy = policy
  }

  /** Counts a request that requires this right. @throws {TooManyWrites} */
  async count({ tenantId }: Admin, right: Right): Promise<void> {
    if (tenantId === null || !mayChange(right)) return
    const limit = this.#policy.policy.tenantWritesPerMinute
    const taken = await this.#counts.take(tenantId, limit)
    if (!taken.granted) throw new TooManyWrites(limit, taken.retryAfterSeconds)
  }
}
