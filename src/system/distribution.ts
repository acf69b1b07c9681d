/** How often values fell into which bucket, in plain numbers: to add one takes next to nothing. */
export class Distribution {
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[]
  /** One more than there are bounds: the last is of what lies beyond. */
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = [...bounds, Number.POSITIVE_INFINITY].map(() => 0)
  }

  add(value: number): void {
    let bucket = 0
    while (value > (this.bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket++
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1
    this.sum += value
  }
}
