import type { CurrentPolicy } from '../installation/current-policy.ts'
import { MinuteLimit } from '../system/minute-limit.ts'
import type { Admin } from './admin-auth.ts'
import { mayChange, type Right } from './rights-table.ts'
import { TooManyWrites } from './too-many-writes.ts'

const REVOCATIONS = new Set(['revokeKey', 'revokeKeySecret', 'disableKey', 'revokeAdminToken'])

/**
 * Limits the changes of each tenant's own administrators, by the policy, so that none of them can fill the audit trail
 * and the change feed, which all tenants share. Requests are counted by tenant and minute, in this process only, before they
 * are carried out; refused ones count. Administrators who are bound to no tenant are not limited. Nor are revocations: a stolen
 * token cannot keep the others from revoking it, and there is an end to what can be revoked.
 */
export class WriteLimit {
  readonly #policy: CurrentPolicy
  readonly #counts = new MinuteLimit()

  constructor({ policy }: { policy: CurrentPolicy }) {
    this.#policy = policy
  }

  /** Counts a request to this route. @throws {TooManyWrites} */
  async count({ tenantId }: Admin, route: { operation: string; right: Right }): Promise<void> {
    if (tenantId === null || !mayChange(route.right) || REVOCATIONS.has(route.operation)) return
    const limit = this.#policy.policy.tenantWritesPerMinute
    const taken = await this.#counts.take(tenantId, limit)
    if (!taken.granted) throw new TooManyWrites(limit, taken.retryAfterSeconds)
  }
}
