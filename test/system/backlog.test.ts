import { describe, expect, it } from 'vitest'
import { Backlog } from '../../src/system/backlog.ts'

interface Item {
  name: string
  count: number
}

function backlogOf(write: (batch: Item[]) => Promise<readonly Item[]>, room = 100_000) {
  return new Backlog<Item>({
    room,
    name: ({ name }) => name,
    merge: (older, newer) => ({ ...newer, count: older.count + newer.count }),
    write,
  })
}

describe('a backlog', () => {
  it('writes all of it in batches, things of one name as one', async () => {
    const batches: Item[][] = []
    const backlog = backlogOf(async batch => {
      batches.push(batch)
      return []
    })
    for (let index = 0; index < 5_000; index++) backlog.add({ name: `n${index % 2_500}`, count: 1 })
    await backlog.flush()
    expect(batches.map(batch => batch.length)).toEqual([1_000, 1_000, 500])
    expect(batches.flat().every(({ count }) => count === 2)).toBe(true)
    expect(backlog.size).toBe(0)
  })

  it('drops and counts what it has no room for, and goes on merging what it has', () => {
    const backlog = backlogOf(async () => [], 2)
    for (const name of ['a', 'b', 'c', 'd', 'a']) backlog.add({ name, count: 1 })
    expect(backlog.size).toBe(2)
    expect(backlog.dropped).toBe(2)
  })

  it('loses nothing and doubles nothing when a write fails after others worked', async () => {
    let failing = true
    const written: Item[] = []
    const backlog = backlogOf(async batch => {
      if (failing && written.length > 0) throw new Error('gone')
      written.push(...batch)
      return []
    })
    for (let index = 0; index < 1_500; index++) backlog.add({ name: `n${index}`, count: 1 })
    await expect(backlog.flush()).rejects.toThrow('gone')
    backlog.add({ name: 'n1499', count: 1 })
    failing = false
    await backlog.flush()
    expect(written).toHaveLength(1_500)
    expect(written.find(({ name }) => name === 'n1499')).toEqual({ name: 'n1499', count: 2 })
  })

  it('keeps what a write gives back, with what came meanwhile', async () => {
    let held = true
    const written: Item[] = []
    const backlog: Backlog<Item> = backlogOf(async batch => {
      if (held) {
        backlog.add({ name: 'a', count: 1 })
        return batch
      }
      written.push(...batch)
      return []
    })
    backlog.add({ name: 'a', count: 1 })
    await backlog.flush()
    expect(written).toEqual([])
    held = false
    await backlog.flush()
    expect(written).toEqual([{ name: 'a', count: 2 }])
  })
})
