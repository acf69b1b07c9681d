import type { ChainHead } from './audit-chain.ts'

/** prune_audit_events() keeps rows of this many days, whatever its argument. */
export const SHORTEST_RETENTION_DAYS = 90

/** A head with a signature, and its time: RFC 3339. */
export interface SignedHead extends ChainHead {
  at: string
}

const SHORTEST_RETENTION_MS = SHORTEST_RETENTION_DAYS * 86_400_000
/** A row is dated before it is committed, and a checkpoint by another statement. */
const GRACE_MS = 60_000

/**
 * Finds a row, pruned up to `cut`, that an earlier checkpoint proves to be younger than retention allows: the owner of
 * the tables can forge the `audit.prune` row and its time, but not the time of a checkpoint. `prunedAt` is the time in
 * that row, `now` epoch milliseconds.
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
