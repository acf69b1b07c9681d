import { HOUR_MS } from './usage-record.ts'
import { ROLLUP_UNITS, type Rollup } from './usage-rollup-repository.ts'

/** From which rows the usage of a range is summed. */
export interface Cover {
  /** Beginnings of what is read from its sums, each for the group of its middle. */
  starts: Record<Rollup['unit'], Date[]>
  /** Hours of these that belong to another group: taken from that of the middle, and added to their own. */
  moved: { hour: Date; middle: Date }[]
  /** The rest, read from its hours. */
  gaps: { begin: Date; finish: Date }[]
}

/** Where the middle is of which the group counts, after the beginning. */
export const MIDDLE_HOURS: Record<Rollup['unit'], number> = { month: 336, five_days: 36, day: 12 }

/**
 * Covers a range with few rows: whole months, then five days, then days, then hours. `cuts` are the times, in order, at which another
 * group of time begins. What lies in two groups, because they are of another time zone, is read for one of them, and its hours
 * in the other are moved, where that is less to read than all its hours.
 */
export function coverOf(
  { from, to }: { from: Date; to: Date },
  summed: readonly Rollup[],
  cuts: readonly Date[],
): Cover {
  const cover: Cover = { starts: { month: [], five_days: [], day: [] }, moved: [], gaps: [] }
  const times = cuts.map(cut => cut.getTime())
  const read: Rollup[] = []
  const days = new Set<number>()
  for (const unit of ROLLUP_UNITS) {
    for (const each of summed) {
      const start = each.start.getTime()
      if (each.unit !== unit || days.has(start) || each.start < from || each.finish > to) continue
      const middle = new Date(start + MIDDLE_HOURS[unit] * HOUR_MS)
      const moved = hoursOutside(each, groupOf(middle, times))
      if (moved === undefined) continue
      cover.moved.push(...moved.map(hour => ({ hour, middle })))
      cover.starts[unit].push(each.start)
      read.push(each)
      for (let day = start; day < each.finish.getTime(); day += 24 * HOUR_MS) days.add(day)
    }
  }
  let begin = from
  for (const { start, finish } of read.sort((a, b) => a.start.getTime() - b.start.getTime())) {
    if (start > begin) cover.gaps.push({ begin, finish: start })
    begin = finish
  }
  if (to > begin) cover.gaps.push({ begin, finish: to })
  return cover
}

/** From when to when the group lasts in which this time is. */
function groupOf(time: Date, cuts: readonly number[]): { begin: number; end: number } {
  let [low, high] = [0, cuts.length]
  while (low < high) {
    const between = (low + high) >> 1
    if ((cuts[between] ?? 0) > time.getTime()) high = between
    else low = between + 1
  }
  return { begin: cuts[low - 1] ?? Number.NEGATIVE_INFINITY, end: cuts[low] ?? Number.POSITIVE_INFINITY }
}

/** The hours that begin before or behind the group; undefined: half of all, or more. */
function hoursOutside(
  { start, finish }: Rollup,
  { begin, end }: { begin: number; end: number },
): Date[] | undefined {
  const [first, last] = [start.getTime(), finish.getTime()]
  const before = Math.max(0, Math.ceil((begin - first) / HOUR_MS))
  const behind = Math.max(0, Math.floor((last - end) / HOUR_MS))
  if (2 * (before + behind) * HOUR_MS >= last - first) return undefined
  const hours = (count: number, from: number) =>
    Array.from({ length: count }, (_, index) => new Date(from + index * HOUR_MS))
  return [...hours(before, first), ...hours(behind, last - behind * HOUR_MS)]
}
