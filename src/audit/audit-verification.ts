import { type AuditRow, type ChainHead, rowHash } from './audit-chain.ts'
import { prunedTooYoung, type SignedHead } from './audit-retention.ts'

/** One detected manipulation. `id` is the position in the chain. */
interface Finding {
  id: number
  kind: 'edited' | 'replaced' | 'missing' | 'moved' | 'added' | 'rewritten' | 'cut'
  message: string
}

/** What the trail is verified against. */
export interface Expectation {
  /** The row before the first; undefined: whatever the first row names, because an export may begin anywhere. */
  begin?: ChainHead | undefined
  /** The expected end; undefined: any. */
  head?: ChainHead | undefined
  /** Signed heads of the past. */
  checkpoints?: readonly SignedHead[]
  /** Epoch milliseconds. */
  now: number
}

export interface Verification {
  /** Number of rows. */
  rows: number
  first: number | null
  last: ChainHead | null
  /** Empty: the trail is unchanged. At most MOST_FINDINGS, in the order of the chain. */
  findings: Finding[]
}

const MOST_FINDINGS = 20
/** The largest shift at which a moved row is recognized. */
const FARTHEST_MOVE = 500

/** Verifies rows, in the order of their positions, against each other and against the expectation. */
export async function verifyTrail(
  rows: AsyncIterable<AuditRow>,
  expected: Expectation,
): Promise<Verification> {
  const walk = new Walk(expected)
  for await (const row of rows) {
    walk.take(row)
    if (walk.findings.length >= MOST_FINDINGS) break
  }
  if (walk.findings.length < MOST_FINDINGS) walk.end()
  const { count, first, last, findings } = walk
  return {
    rows: count,
    first,
    last: last ?? null,
    findings: findings.sort((one, other) => one.id - other.id),
  }
}

class Walk {
  readonly #expected: Expectation
  readonly #signed: Map<number, string>
  readonly findings: Finding[] = []
  /** Hashes at which rows of the trail record a cut by retention, and its time. */
  readonly #cuts = new Map<unknown, string>()
  count = 0
  first: number | null = null
  last: ChainHead | undefined
  /** The current shift of rows from their original positions. */
  #moved = 0
  /** A row follows the head. */
  #beyond = false
  /** The last position that a checkpoint confirms. */
  #signedUpTo: number | undefined

  constructor(expected: Expectation) {
    this.#expected = expected
    this.#signed = new Map(expected.checkpoints?.map(({ id, hash }) => [id, hash]))
    this.last = expected.begin
    if (expected.begin) this.#compareSigned(expected.begin)
  }

  take(row: AuditRow): void {
    this.count++
    this.first ??= row.id
    if (this.#expected.head && row.id > this.#expected.head.id) {
      this.#beyond = true
      return
    }
    const before = this.last
    if (!before) this.#compareSigned({ id: row.id - 1, hash: row.previous_hash })
    const intact = rowHash(row) === row.hash
    if (before && row.id <= before.id)
      this.#find(row.id, 'moved', `Row ${row.id} comes after row ${before.id}.`)
    else if (before && row.id > before.id + 1) this.#findMissing(before.id + 1, row.id - 1)
    else if (intact && before && row.previous_hash !== before.hash) this.#findBroken(before)
    if (!intact) this.#findChanged(row)
    else this.#moved = 0
    this.#compareSigned(row)
    if (row.action === 'audit.prune') this.#cuts.set(row.changes.hash?.to, row.at)
    this.last = { id: row.id, hash: row.hash }
  }

  end(): void {
    const { begin, head } = this.#expected
    const last = this.last ?? { id: 0, hash: '' }
    if (head && last.id < head.id) this.#findMissing(last.id + 1, head.id)
    else if (head && last.hash !== head.hash) this.#findReplaced(last.id)
    if (head && this.#beyond)
      this.#find(head.id + 1, 'added', `Row ${head.id + 1} and later rows were never part of the chain.`)
    const farthest = Math.max(...this.#signed.keys(), 0)
    if (farthest > Math.max(last.id, head?.id ?? 0))
      this.#findMissing(last.id + 1, farthest, 'which were signed for')
    if (begin && begin.id > 0) this.#checkCut(begin)
  }

  #checkCut(begin: ChainHead): void {
    const { checkpoints = [], now } = this.#expected
    const gone = `The rows up to ${begin.id} are missing`
    const prunedAt = this.#cuts.get(begin.hash)
    if (prunedAt === undefined) {
      this.#find(begin.id, 'cut', `${gone}, and no row records that retention removed them.`)
      return
    }
    const young = prunedTooYoung(begin, prunedAt, { checkpoints, now })
    if (!young) return
    const message = `${gone}, among them row ${young.id}, which was written after ${young.after}: too recent for retention.`
    this.#find(begin.id, 'cut', message)
  }

  /** The row's own hash does not match: it was edited, or moved from another position. */
  #findChanged(row: AuditRow): void {
    const origin = placeOf(row)
    if (origin === undefined) {
      this.#find(row.id, 'edited', `Row ${row.id} was edited: its hash does not match its content.`)
      return
    }
    const moved = row.id - origin
    // Of rows that were moved together, only the first is reported.
    if (moved === this.#moved) return
    this.#moved = moved
    const place = Math.min(row.id, origin)
    const what = moved > 0 ? `row ${place} was inserted before it` : `row ${place} is not the original one`
    this.#find(place, 'moved', `Row ${row.id} was at position ${origin}: ${what}.`)
  }

  #findBroken(before: ChainHead): void {
    const id = before.id + 1
    if (before !== this.#expected.begin) this.#findReplaced(before.id)
    else this.#find(id, 'replaced', `Row ${id} does not follow from the beginning of the trail.`)
  }

  #findReplaced(id: number): void {
    const message = `Row ${id} was replaced: the next row is chained to another one.`
    this.#find(id, 'replaced', message)
  }

  #findMissing(from: number, to: number, why = ''): void {
    const rows = from === to ? `Row ${from} is missing` : `Rows ${from} to ${to} are missing`
    this.#find(from, 'missing', why === '' ? `${rows}.` : `${rows}, ${why}.`)
  }

  #compareSigned({ id, hash }: ChainHead): void {
    const signed = this.#signed.get(id)
    if (signed === hash) this.#signedUpTo = id
    if (signed === undefined || signed === hash) return
    const since = this.#signedUpTo === undefined ? '' : `, after row ${this.#signedUpTo}`
    this.#find(id, 'rewritten', `The trail up to row ${id}${since} does not match a signed checkpoint.`)
  }

  #find(id: number, kind: Finding['kind'], message: string): void {
    if (this.findings.length < MOST_FINDINGS) this.findings.push({ id, kind, message })
  }
}

/** The original position of a row, if only its position was changed. */
function placeOf(row: AuditRow): number | undefined {
  for (let distance = 1; distance <= FARTHEST_MOVE; distance++) {
    for (const id of [row.id - distance, row.id + distance]) {
      if (rowHash({ ...row, id }) === row.hash) return id
    }
  }
  return undefined
}
