import type { ChainHead } from './audit-chain.ts'

/** What prune_audit_events() leaves, whatever it is asked for. */
export const SHORTEST_RETENTION_DAYS = 90

/** A head that was signed for, and when: RFC 3339. */
export interface SignedHead extends ChainHead {
  at: string
}

const SHORTEST_RETENTION_MS = SHORTEST_RETENTION_DAYS * 86_400_000
/** A row is dated before it is committed, and a checkpoint by the clock of another statement. */
const GRACE_MS = 60_000

/**
 * A row that was let go up to `cut`, and is known by a checkpoint before it to be younger than retention takes: the
 * owner of the tables can write the row that says `audit.prune`, with whatever time, but not when a checkpoint was
 * signed. `prunedAt` is what that row says, `now` epoch milliseconds.
 */
export function prunedTooYoung(
  cut: ChainHead,
  prunedAt: string,
  { checkpoints, now }: { checkpoints: readonly SignedHead[]; now: number },
): { id: number; after: string } | undefined {
  const said = Date.parse(prunedAt)
  const youngest = (said < now ? said : now) - SHORTEST_RETENTION_MS + GRACE_MS
  const [before] = checkpoints
    .filter(({ id, at }) => id < cut.id && Date.parse(at) > youngest)
    .toSorted((one, other) => one.id - other.id)
  return before && { id: before.id + 1, after: before.at }
}
