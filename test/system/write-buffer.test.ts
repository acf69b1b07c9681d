import { describe, expect, it } from 'vitest'
import { WriteBuffer } from '../../src/system/write-buffer.ts'

interface Item {
  name: string
  count: number
}

function bufferOf(write: (batch: Item[]) => Promise<readonly Item[]>, room = 100_000) {
  return new WriteBuffer<Item>({
    room,
    name: ({ name }) => name,
    merge: (older, newer) => ({ ...newer, count: older.count + newer.count }),
    write,
  })
}

describe('a write buffer', () => {
  it('writes everything in batches, with items of one name merged', async () => {
    const batches: Item[][] = []
    const buffer = bufferOf(async batch => {
      batches.push(batch)
      return []
    })
    for (let index = 0; index < 5_000; index++) buffer.add({ name: `n${index % 2_500}`, count: 1 })
    await buffer.flush()
    expect(batches.map(batch => batch.length)).toEqual([1_000, 1_000, 500])
    expect(batches.flat().every(({ count }) => count === 2)).toBe(true)
    expect(buffer.size).toBe(0)
  })

  it('drops and counts what it has no room for, and continues to merge what it has', () => {
    const buffer = bufferOf(async () => [], 2)
    for (const name of ['a', 'b', 'c', 'd', 'a']) buffer.add({ name, count: 1 })
    expect(buffer.size).toBe(2)
    expect(buffer.dropped).toBe(2)
  })

  it('loses nothing and duplicates nothing when a write fails after others succeeded', async () => {
    let failing = true
    const written: Item[] = []
    const buffer = bufferOf(async batch => {
      if (failing && written.length > 0) throw new Error('gone')
      written.push(...batch)
      return []
    })
    for (let index = 0; index < 1_500; index++) buffer.add({ name: `n${index}`, count: 1 })
    await expect(buffer.flush()).rejects.toThrow('gone')
    buffer.add({ name: 'n1499', count: 1 })
    failing = false
    await buffer.flush()
    expect(written).toHaveLength(1_500)
    expect(written.find(({ name }) => name === 'n1499')).toEqual({ name: 'n1499', count: 2 })
  })

  it('merges what could not be written into what came meanwhile, which is newer', async () => {
    const written: Item[] = []
    let held = true
    const buffer = new WriteBuffer<Item>({
      room: 10,
      name: ({ name }) => name,
      merge: (_older, newer) => newer,
      write: async batch => {
        if (!held) written.push(...batch)
        else buffer.add({ name: 'a', count: 2 })
        return held ? batch : []
      },
    })
    buffer.add({ name: 'a', count: 1 })
    await buffer.flush()
    held = false
    await buffer.flush()
    expect(written).toEqual([{ name: 'a', count: 2 }])
  })

  it('keeps what a write returns, together with newer items', async () => {
    let held = true
    const written: Item[] = []
    const buffer: WriteBuffer<Item> = bufferOf(async batch => {
      if (held) {
        buffer.add({ name: 'a', count: 1 })
        return batch
      }
      written.push(...batch)
      return []
    })
    buffer.add({ name: 'a', count: 1 })
    await buffer.flush()
    expect(written).toEqual([])
    held = false
    await buffer.flush()
    expect(written).toEqual([{ name: 'a', count: 2 }])
  })
})
