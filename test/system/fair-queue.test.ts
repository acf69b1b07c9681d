import { describe, expect, it } from 'vitest'
import { Busy } from '../../src/errors.ts'
import type { Clock } from '../../src/system/clock.ts'
import { FairQueue } from '../../src/system/fair-queue.ts'
import { adjustableClock } from '../support/adjustable-clock.ts'

const LIMITS = { atOnce: 1, mostWaiting: 4, mostWaitingOfOne: 3, longestWaitMs: 3_000 }

/** A queue of tasks that end when the test ends them; `order` has the names of those that began. */
function observed(limits: Partial<typeof LIMITS> = {}, clock: Clock = adjustableClock()) {
  const queue = new FairQueue({ ...LIMITS, ...limits, clock })
  const order: string[] = []
  const ends = new Map<string, () => void>()
  let tasks = 0
  const join = (group: string, name = `${group}-${++tasks}`) =>
    queue.join({ group, name }, async () => {
      order.push(name)
      await new Promise<void>(resolve => ends.set(name, resolve))
      return name
    })
  const end = async (name: string) => {
    ends.get(name)?.()
    await new Promise(resolve => setImmediate(resolve))
  }
  return { queue, order, join, end }
}

describe('a fair queue', () => {
  it('gives each group a turn, however many tasks another has waiting', async () => {
    const { order, join, end } = observed()
    join('flood', 'f1')
    for (const name of ['f2', 'f3', 'f4']) join('flood', name)
    join('honest', 'h1')
    await end('f1')
    await end('h1')
    join('other', 'o1')
    await end('f2')
    expect(order).toEqual(['f1', 'h1', 'f2', 'o1'])
  })

  it('takes the place of the newest task of the largest group when it is full', async () => {
    const { queue, join } = observed()
    join('flood', 'f1')
    const places = ['f2', 'f3', 'f4', 'f5'].map(name => join('flood', name))
    const honest = join('honest', 'h1')
    await expect(places[3]?.result).rejects.toBeInstanceOf(Busy)
    expect(queue.waiting).toBe(LIMITS.mostWaiting)
    expect(honest.leave()).toBe(true)
  })

  it('refuses a group that already has the most places, and each group when each has one', () => {
    const { join } = observed()
    join('flood', 'f1')
    for (const name of ['f2', 'f3', 'f4', 'f5']) join('flood', name)
    expect(() => join('flood', 'f6')).toThrow(Busy)
    const crowded = observed()
    for (const group of ['a', 'b', 'c', 'd', 'e']) crowded.join(group)
    expect(() => crowded.join('f')).toThrow(Busy)
  })

  it('runs one task of a name at a time, and holds few of one name and group', async () => {
    const { order, join, end } = observed({ atOnce: 2 })
    join('a', 'same')
    join('b', 'same')
    join('b', 'other')
    expect(order).toEqual(['same', 'other'])
    await end('same')
    expect(order).toEqual(['same', 'other', 'same'])
    join('c', 'same')
    join('c', 'same')
    join('c', 'same')
    expect(() => join('c', 'same')).toThrow(Busy)
  })

  it('leaves only before it has begun, and a task that left never begins', async () => {
    const { queue, order, join, end } = observed()
    const first = join('a', 'a1')
    const second = join('a', 'a2')
    expect([first.begun, first.leave(), second.begun, second.leave()]).toEqual([true, false, false, true])
    await expect(second.result).rejects.toBeInstanceOf(Busy)
    await end('a1')
    expect(await first.result).toBe('a1')
    expect(order).toEqual(['a1'])
    expect(queue.waiting).toBe(0)
  })

  it('refuses a task that waited for too long', async () => {
    const waits: { ms: number; end: () => void }[] = []
    const clock: Clock = {
      ...adjustableClock(),
      sleep: (ms, signal) =>
        new Promise(resolve => {
          waits.push({ ms, end: resolve })
          signal?.addEventListener('abort', () => resolve())
        }),
    }
    const { join, queue } = observed({}, clock)
    join('a', 'a1')
    const late = join('a', 'a2')
    expect(waits.at(-1)?.ms).toBe(LIMITS.longestWaitMs)
    waits.at(-1)?.end()
    await expect(late.result).rejects.toBeInstanceOf(Busy)
    expect([late.begun, queue.waiting]).toEqual([false, 0])
  })

  it('rejects as the task does, and goes on', async () => {
    const queue = new FairQueue({ ...LIMITS, clock: adjustableClock() })
    const failing = queue.join({ group: 'a', name: 'a' }, () => Promise.reject(new Error('no hash')))
    await expect(failing.result).rejects.toThrow('no hash')
    expect(await queue.join({ group: 'a', name: 'a' }, async () => 'done').result).toBe('done')
  })
})
