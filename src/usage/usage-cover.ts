import { HOUR_MS } from './usage-record.ts'
import type { Rollup } from './usage-rollup-repository.ts'

/** From which rows the usage of a range is summed. */
export interface Cover {
  /** Beginnings of months and days whose sums are read, each for the group of its middle. */
  months: Date[]
  days: Date[]
  /** Hours of these that belong to another group: taken from that of the middle, and added to their own. */
  moved: { hour: Date; middle: Date }[]
  /** The rest, read from its hours. */
  gaps: { begin: Date; finish: Date }[]
}

/**
 * Covers a range with few rows: whole months, then days, then hours. `cuts` are the times, in order, at which another group
 * of time begins. A month or day of UTC that lies in two groups, because they are of another time zone, is read for one of
 * them, and its hours in the other are moved, where that is less to read than all its hours.
 */
export function coverOf(
  { from, to }: { from: Date; to: Date },
  summed: readonly Rollup[],
  cuts: readonly Date[],
): Cover {
  const cover: Cover = { months: [], days: [], moved: [], gaps: [] }
  const within = summed.filter(({ start, finish }) => start >= from && finish <= to)
  const read = (unit: Rollup['unit'], among: readonly Rollup[]) =>
    among.filter(each => {
      if (each.unit !== unit) return false
      const moved = movedHours(each, cuts)
      if (2 * moved.length >= hoursIn(each)) return false
      cover.moved.push(...moved.map(hour => ({ hour, middle: middleOf(each) })))
      return true
    })
  const months = read('month', within)
  const isRead = ({ start }: Rollup) => months.some(month => start >= month.start && start < month.finish)
  const days = read(
    'day',
    within.filter(each => !isRead(each)),
  )
  cover.months = months.map(({ start }) => start)
  cover.days = days.map(({ start }) => start)
  let begin = from
  for (const { start, finish } of [...months, ...days].sort(
    (a, b) => a.start.getTime() - b.start.getTime(),
  )) {
    if (start > begin) cover.gaps.push({ begin, finish: start })
    begin = finish
  }
  if (to > begin) cover.gaps.push({ begin, finish: to })
  return cover
}

const hoursIn = ({ start, finish }: Rollup) => (finish.getTime() - start.getTime()) / HOUR_MS

/** A whole hour in the group that has most of it, where it lies in two. */
const middleOf = (each: Rollup) => new Date(each.start.getTime() + Math.floor(hoursIn(each) / 2) * HOUR_MS)

/** The hours between its beginning and the group of its middle, and behind that. An hour is in the group in which it begins. */
function movedHours(each: Rollup, cuts: readonly Date[]): Date[] {
  const middle = middleOf(each)
  const first = cuts.findLast(cut => cut <= middle) ?? each.start
  const last = cuts.find(cut => cut > middle) ?? each.finish
  return [...wholeHours(each.start, first), ...wholeHours(last, each.finish)]
}

function wholeHours(begin: Date, end: Date): Date[] {
  const hours: Date[] = []
  for (let hour = Math.ceil(begin.getTime() / HOUR_MS) * HOUR_MS; hour < end.getTime(); hour += HOUR_MS)
    hours.push(new Date(hour))
  return hours
}
