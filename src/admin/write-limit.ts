import type { CurrentPolicy } from '../installation/current-policy.ts'
import { MinuteLimit } from '../system/minute-limit.ts'
import type { Admin } from './admin-auth.ts'
import { mayChange, type Right } from './rights-table.ts'
import { TooManyWrites } from './too-many-writes.ts'

/**
 * Limits the changes of each tenant's own administrators, by the policy, so that none of them can fill the audit trail
 * and the change feed, which all tenants share. Requests are counted by tenant and minute, in this process only, before they
 * are carried out; refused ones count. Administrators who are bound to no tenant are not limited.
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
