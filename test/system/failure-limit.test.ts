import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FailureLimit } from '../../src/system/failure-limit.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('the limit', () => {
  const grants = async (limit: FailureLimit, source: string, times: number) => {
    const allowances = await Promise.all(Array.from({ length: times }, () => limit.take(source)))
    return allowances.filter(({ granted }) => granted).length
  }

  it('applies to concurrent attempts', async () => {
    expect(await grants(new FailureLimit({ perMinute: 5 }), '192.0.2.1', 100)).toBe(5)
  })

  it('counts each source separately', async () => {
    const limit = new FailureLimit({ perMinute: 5 })
    expect(await grants(limit, '192.0.2.1', 10)).toBe(5)
    expect(await grants(limit, '192.0.2.2', 10)).toBe(5)
  })

  it('counts an IPv4 address and its IPv4-mapped IPv6 address as one', async () => {
    const limit = new FailureLimit({ perMinute: 5 })
    expect(await grants(limit, '192.0.2.1', 4)).toBe(4)
    expect(await grants(limit, '::ffff:192.0.2.1', 4)).toBe(1)
    expect(await grants(limit, '::ffff:c000:201', 4)).toBe(0)
  })

  it('returns when another attempt is allowed', async () => {
    const limit = new FailureLimit({ perMinute: 1 })
    await limit.take('192.0.2.1')
    vi.advanceTimersByTime(20_000)
    expect(await limit.take('192.0.2.1')).toEqual({ granted: false, retryAfterSeconds: 40 })
  })

  it('counts nothing for an attempt that did not fail', async () => {
    const limit = new FailureLimit({ perMinute: 1 })
    for (let attempt = 0; attempt < 10; attempt++) {
      const allowance = await limit.take('192.0.2.1')
      if (!allowance.granted) throw new Error(`refused at attempt ${attempt}`)
      allowance.giveBack()
    }
  })
})
