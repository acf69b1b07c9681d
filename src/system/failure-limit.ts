import { isIPv6 } from 'node:net'
import { RateLimiterMemory, RateLimiterRes } from 'rate-limiter-flexible'

/** Whether another attempt may be made, and if not, in how many seconds. */
export type Allowance = { granted: true; giveBack(): void } | { granted: false; retryAfterSeconds: number }

const WINDOW_SECONDS = 60

/**
 * Counts failures by the address that they come from, in this process only and for a minute. An attempt is counted
 * before it is made and given back when it did not fail, so that no number of attempts at once gets past the limit.
 */
export class FailureLimit {
  readonly #limiter: RateLimiterMemory

  constructor(options: { perMinute: number }) {
    this.#limiter = new RateLimiterMemory({ points: options.perMinute, duration: WINDOW_SECONDS })
  }

  /** `source` is an IP address; attempts without one share an allowance. */
  async take(source: string | undefined): Promise<Allowance> {
    const name = source === undefined ? 'unknown' : networkOf(source)
    try {
      await this.#limiter.consume(name)
      return { granted: true, giveBack: () => void this.#limiter.reward(name) }
    } catch (refusal) {
      if (!(refusal instanceof RateLimiterRes)) throw refusal
      return { granted: false, retryAfterSeconds: Math.max(1, Math.ceil(refusal.msBeforeNext / 1000)) }
    }
  }
}

/** An IPv4 address counts by itself, mapped into IPv6 or not; an IPv6 address by its /56, in which one client can roam. */
export function networkOf(address: string): string {
  const [plain = ''] = address.split('%')
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)?.[1]
  if (mapped) return mapped
  if (!isIPv6(plain)) return plain
  const [left = '', right = ''] = plain.split('::')
  const groups = left === '' ? [] : left.split(':')
  const tail = right === '' ? [] : right.split(':')
  const middle = Array.from({ length: 8 - groups.length - tail.length }, () => '0')
  const prefix = [...groups, ...middle, ...tail].slice(0, 4).map(group => Number.parseInt(group, 16))
  return `${prefix.map((group, index) => (index === 3 ? group & 0xff00 : group).toString(16)).join(':')}::/56`
}
