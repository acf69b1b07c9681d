import { describe, expect, it } from 'vitest'
import { Coalescer } from '../../src/system/coalescer.ts'

/** A Coalescer with runs that end when the test says so. */
function heldRounds() {
  const ends: { resolve(): void; reject(error: Error): void }[] = []
  const coalescer = new Coalescer(
    () => new Promise<void>((resolve, reject) => ends.push({ resolve, reject })),
  )
  return { coalescer, ends }
}

describe('Coalescer', () => {
  it('completes with a run that began after the call, however many call', async () => {
    const { coalescer, ends } = heldRounds()
    const first = coalescer.run()
    const later = [coalescer.run(), coalescer.run(), coalescer.run()]
    expect(ends).toHaveLength(1)
    ends[0]?.resolve()
    await first
    expect(ends, 'one round for all who called during the first').toHaveLength(2)
    const during = coalescer.run()
    ends[1]?.resolve()
    await Promise.all(later)
    expect(ends).toHaveLength(3)
    ends[2]?.resolve()
    await during
  })

  it('never runs two at once', async () => {
    let running = 0
    const coalescer = new Coalescer(async () => {
      running++
      await new Promise(resolve => setImmediate(resolve))
      expect(running).toBe(1)
      running--
    })
    const calls = Array.from({ length: 50 }, async (_, index) => {
      for (let turn = 0; turn < index % 7; turn++) await Promise.resolve()
      await coalescer.run()
      await coalescer.run()
    })
    await Promise.all(calls)
  })

  it('continues after a failed run, and only its callers are rejected', async () => {
    const { coalescer, ends } = heldRounds()
    const failing = coalescer.run()
    const next = coalescer.run()
    ends[0]?.reject(new Error('no'))
    await expect(failing).rejects.toThrow('no')
    ends[1]?.resolve()
    await expect(next).resolves.toBeUndefined()
  })
})
