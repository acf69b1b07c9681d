import { describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../../src/system/clock.ts'
import { createLogger } from '../../src/system/logger.ts'
import { PauseWatch } from '../../src/system/pause-watch.ts'

/** A watch on clocks that are moved by hand. `asked` has the uncounted time of each call of `catchUp`. */
function watched(catchUp: () => Promise<unknown> = async () => {}) {
  const time = { monotonic: 5_000, wall: 1_800_000_000_000, boot: 90_000 }
  const timeouts: (() => void)[] = []
  const clock: Clock = {
    ...systemClock,
    monotonicMs: () => time.monotonic,
    wallMs: () => time.wall,
    bootMs: () => time.boot,
    sleep: () => new Promise(resolve => timeouts.push(resolve)),
  }
  const asked: number[] = []
  const watch = new PauseWatch({
    clock,
    logger: createLogger('silent'),
    catchUp: async uncountedMs => {
      asked.push(uncountedMs)
      await catchUp()
    },
  })
  const pass = (ms: number, clocks: (keyof typeof time)[] = ['monotonic', 'wall', 'boot']) => {
    for (const name of clocks) time[name] += ms
  }
  const timeOut = () => {
    for (const resolve of timeouts.splice(0)) resolve()
  }
  return { watch, asked, pass, timeOut }
}

describe('A request after a pause', () => {
  it('waits for one catching up, with all others, and the next ones do not wait', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { watch, asked, pass } = watched(() => promise)
    watch.tick()
    pass(1_000)
    const first = watch.check()
    expect(first).toBeInstanceOf(Promise)
    pass(10)
    expect(watch.check()).toBe(first)
    resolve()
    await first
    expect(watch.check()).toBeUndefined()
    expect(asked).toHaveLength(1)
  })

  it('is noticed by the tick too, when no request came first', async () => {
    const { watch, asked, pass } = watched()
    watch.tick()
    pass(1_000)
    watch.tick()
    expect(asked).toHaveLength(1)
    await watch.check()
    expect(watch.check()).toBeUndefined()
  })

  it('waits a second at most, also when catching up fails or never ends', async () => {
    const failing = watched(() => Promise.reject(new Error('no database')))
    failing.watch.tick()
    failing.pass(1_000)
    await expect(failing.watch.check()).resolves.toBeUndefined()
    const hanging = watched(() => new Promise(() => {}))
    hanging.watch.tick()
    hanging.pass(1_000)
    const waiting = hanging.watch.check()
    hanging.timeOut()
    await waiting
    expect(hanging.watch.check()).toBeUndefined()
  })

  it('waits again when a second pause began before it had caught up', async () => {
    const parts = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let part = 0
    const { watch, asked, pass } = watched(() => parts[part++]?.promise ?? Promise.resolve())
    watch.tick()
    pass(1_000)
    const first = watch.check()
    pass(1_000)
    const second = watch.check()
    expect(second).not.toBe(first)
    parts[0]?.resolve()
    await first
    expect(watch.check()).toBe(second)
    parts[1]?.resolve()
    await second
    expect([watch.check(), asked.length]).toEqual([undefined, 2])
  })
})

describe('It is a pause', () => {
  it('when only the wall clock shows it, and the uncounted time is known if the machine was suspended', () => {
    const { watch, asked, pass } = watched()
    watch.tick()
    pass(3_600_000, ['wall', 'boot'])
    void watch.check()
    pass(60_000, ['wall'])
    void watch.check()
    expect(asked).toEqual([3_600_000, 0])
  })

  it('not when time passes as usual, when the wall clock is set back, or before the watch has begun', () => {
    const { watch, asked, pass } = watched()
    pass(60_000)
    expect(watch.check()).toBeUndefined()
    watch.tick()
    for (let count = 0; count < 20; count++) {
      pass(250)
      watch.tick()
      pass(250)
      expect(watch.check()).toBeUndefined()
    }
    pass(-3_600_000, ['wall'])
    pass(250)
    expect(watch.check()).toBeUndefined()
    expect(asked).toEqual([])
  })
})
