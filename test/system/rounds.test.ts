import { describe, expect, it } from 'vitest'
import { Rounds } from '../../src/system/rounds.ts'

/** Rounds whose every end is in the test's hands. */
function heldRounds() {
  const ends: { resolve(): void; reject(error: Error): void }[] = []
  const rounds = new Rounds(() => new Promise<void>((resolve, reject) => ends.push({ resolve, reject })))
  return { rounds, ends }
}

describe('Rounds', () => {
  it('completes with a round that began after the call, however many call', async () => {
    const { rounds, ends } = heldRounds()
    const first = rounds.next()
    const later = [rounds.next(), rounds.next(), rounds.next()]
    expect(ends).toHaveLength(1)
    ends[0]?.resolve()
    await first
    expect(ends, 'one round for all who called during the first').toHaveLength(2)
    const during = rounds.next()
    ends[1]?.resolve()
    await Promise.all(later)
    expect(ends).toHaveLength(3)
    ends[2]?.resolve()
    await during
  })

  it('never runs two at once', async () => {
    let running = 0
    const rounds = new Rounds(async () => {
      running++
      await new Promise(resolve => setImmediate(resolve))
      expect(running).toBe(1)
      running--
    })
    const calls = Array.from({ length: 50 }, async (_, index) => {
      for (let turn = 0; turn < index % 7; turn++) await Promise.resolve()
      await rounds.next()
      await rounds.next()
    })
    await Promise.all(calls)
  })

  it('goes on after a round that failed, and only those who waited for it are told', async () => {
    const { rounds, ends } = heldRounds()
    const failing = rounds.next()
    const next = rounds.next()
    ends[0]?.reject(new Error('no'))
    await expect(failing).rejects.toThrow('no')
    ends[1]?.resolve()
    await expect(next).resolves.toBeUndefined()
  })
})
