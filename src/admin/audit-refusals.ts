import type { ErrorRequestHandler } from 'express'
import type { AuditedRefusals } from '../audit/audited-refusals.ts'
import { Forbidden, TooMany } from '../errors.ts'
import { routeOf } from '../http/express-app.ts'
import { eventOf } from '../http/request-event.ts'
import { ForeignTenant } from './foreign-tenant.ts'
import { Unauthenticated } from './problem.ts'

/** Records rejected requests in the audit trail, then passes the error on. */
export function auditRefusals(refusals: AuditedRefusals): ErrorRequestHandler {
  return (thrown, req, res, next) => {
    const { requestId, source, fields } = eventOf(res)
    const note = (
      action: 'authorization.refuse' | 'login.refuse',
      actor: unknown,
      reason = (thrown as Error).message,
    ) =>
      refusals.note({
        action,
        by: { id: String(actor ?? 'unknown'), requestId, ...(source !== undefined && { source }) },
        operation: `${req.method} ${routeOf(req)}`,
        reason,
      })
    if (thrown instanceof Forbidden || thrown instanceof TooMany) note('authorization.refuse', fields.actor)
    if (thrown instanceof Unauthenticated) note('login.refuse', thrown.tokenId)
    // Without the id, so that refusals of a scan over ids are one row.
    if (thrown instanceof ForeignTenant)
      note('authorization.refuse', fields.actor, 'The object belongs to another tenant.')
    next(thrown)
  }
}
