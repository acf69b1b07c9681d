import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MinuteLimit } from '../../src/system/minute-limit.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const granted = async (counts: MinuteLimit, name: string, limit: number) =>
  (await counts.take(name, limit)).granted

describe('a limit per minute', () => {
  it('follows a limit that changes', async () => {
    const counts = new MinuteLimit()
    expect([await granted(counts, 'a', 1), await granted(counts, 'a', 1)]).toEqual([true, false])
    expect([await granted(counts, 'a', 3), await granted(counts, 'b', 1)]).toEqual([true, true])
  })

  it('begins again after a minute', async () => {
    const counts = new MinuteLimit()
    expect([await granted(counts, 'a', 1), await granted(counts, 'a', 1)]).toEqual([true, false])
    vi.advanceTimersByTime(60_001)
    expect(await granted(counts, 'a', 1)).toBe(true)
  })

  it('saves nothing up for a later minute', async () => {
    const counts = new MinuteLimit()
    for (let time = 0; time < 5; time++) await counts.take('a', 5)
    vi.advanceTimersByTime(60_001)
    for (let time = 0; time < 5; time++) await counts.giveBack('a')
    expect([await granted(counts, 'a', 1), await granted(counts, 'a', 1)]).toEqual([true, false])
  })
})
