import type { ErrorRequestHandler } from 'express'
import type { Refusals } from '../audit/refusals.ts'
import { Forbidden } from '../errors.ts'
import { eventOf, routeOf } from '../http/request-context.ts'
import { Unauthenticated } from './problem.ts'

/** Puts into the audit trail who was refused what, and hands the refusal on. */
export function noteRefusals(refusals: Refusals): ErrorRequestHandler {
  return (thrown, req, res, next) => {
    const { requestId, source, fields } = eventOf(res)
    const note = (action: 'authorization.refuse' | 'login.refuse', actor: string) =>
      refusals.note({
        action,
        by: { id: actor, requestId, ...(source !== undefined && { source }) },
        operation: `${req.method} ${routeOf(req, eventOf(res))}`,
        reason: (thrown as Error).message,
      })
    if (thrown instanceof Forbidden) note('authorization.refuse', String(fields.actor ?? 'unknown'))
    if (thrown instanceof Unauthenticated) note('login.refuse', thrown.tokenId ?? 'unknown')
    next(thrown)
  }
}
