/** The difference of two means in standard errors, for samples of different variance (Welch's t). */
export function welch(a: readonly number[], b: readonly number[]): number {
  const [left, right] = [moments(a), moments(b)]
  return (left.mean - right.mean) / Math.sqrt(left.variance / a.length + right.variance / b.length)
}

/**
 * The deviation of `a`'s rank sum from its expectation, in standard deviations (Mann-Whitney, normal approximation).
 */
export function mannWhitney(a: readonly number[], b: readonly number[]): number {
  const all = [...a.map(value => ({ value, mine: true })), ...b.map(value => ({ value, mine: false }))]
  all.sort((x, y) => x.value - y.value)
  const rankSum = all.reduce((sum, { mine }, index) => sum + (mine ? index + 1 : 0), 0)
  const above = rankSum - (a.length * (a.length + 1)) / 2
  const expected = (a.length * b.length) / 2
  return (above - expected) / Math.sqrt((a.length * b.length * (a.length + b.length + 1)) / 12)
}

export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

/** The samples without the slowest twentieth of both together, which is noise of the machine. */
export function cropped(a: readonly number[], b: readonly number[]): [number[], number[]] {
  const limit = [...a, ...b].sort((x, y) => x - y)[Math.floor((a.length + b.length) * 0.95)] ?? 0
  return [a.filter(value => value < limit), b.filter(value => value < limit)]
}

function moments(values: readonly number[]) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1)
  return { mean, variance }
}
