import { type IncomingMessage, Server } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Pipelining } from '../../src/http/pipelining.ts'
import { Turns } from '../../src/http/turns.ts'

describe('turns', () => {
  it('runs at most so many tasks in a turn of the event loop, in their order', async () => {
    const turns = new Turns(2)
    const ran: number[] = []
    for (const task of [1, 2, 3, 4, 5]) turns.add(() => ran.push(task))
    expect(ran).toEqual([])
    const seen: number[][] = []
    for (let each = 0; each < 3; each++) {
      await turn()
      seen.push([...ran])
    }
    expect(seen).toEqual([
      [1, 2],
      [1, 2, 3, 4],
      [1, 2, 3, 4, 5],
    ])
    turns.add(() => ran.push(6))
    await turn()
    expect(ran.at(-1)).toBe(6)
  })

  it('runs a task that another one adds in a later turn, and no more in that one', async () => {
    const turns = new Turns(1)
    const ran: number[] = []
    const next = () => ran.push(2)
    turns.add(() => {
      ran.push(1)
      for (let each = 0; each < 2; each++) turns.add(next)
    })
    const seen: number[] = []
    for (let each = 0; each < 3; each++) {
      await turn()
      seen.push(ran.length)
    }
    expect(seen).toEqual([1, 2, 3])
  })

  it('runs a task before those that wait', async () => {
    const turns = new Turns(1)
    const ran: number[] = []
    for (const task of [1, 2]) turns.add(() => ran.push(task))
    turns.addFirst(() => ran.push(0))
    for (let each = 0; each < 3; each++) await turn()
    expect(ran).toEqual([0, 1, 2])
  })

  it('runs tasks in a turn until they cost so much together, one of them whatever it costs', async () => {
    const turns = new Turns(10)
    const ran: number[] = []
    for (const cost of [4, 5, 2, 9, 30, 1]) turns.add(() => ran.push(cost), cost)
    const seen: number[] = []
    for (let each = 0; each < 3; each++) {
      await turn()
      seen.push(ran.length)
    }
    expect(seen).toEqual([3, 5, 6])
  })

  it('takes one task of each group in turn, the first to come first', async () => {
    const turns = new Turns(3)
    const ran: string[] = []
    for (const task of ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'c2']) turns.add(() => ran.push(task), 1, task[0])
    const seen: number[] = []
    for (let each = 0; each < 3; each++) {
      await turn()
      seen.push(ran.length)
    }
    expect(seen).toEqual([3, 6, 7])
    expect(ran).toEqual(['a1', 'b1', 'c1', 'a2', 'c2', 'a3', 'a4'])
  })

  it('lets the steps of the tasks of a turn alternate', async () => {
    const turns = new Turns(2)
    const steps: string[] = []
    const work = async (name: string) => {
      for (const step of [1, 2]) {
        steps.push(`${name}${step}`)
        await null
      }
    }
    for (const name of ['a', 'b', 'c']) turns.add(() => void work(name))
    await turn()
    await turn()
    expect(steps).toEqual(['a1', 'b1', 'a2', 'b2', 'c1', 'c2'])
  })
})

describe('a request begins', () => {
  const pipelining = new Pipelining(new Server(), { requestsOf: () => 0 })
  const begins = (headers: IncomingMessage['headers'], place = 1, remoteAddress = '192.0.2.1') => {
    const begun: boolean[] = []
    const req = { headers, socket: { remoteAddress } } as IncomingMessage
    pipelining.schedule(req, place, isLast => begun.push(isLast))
    return begun
  }

  it.each([
    ['without a body', {}],
    ['with a body', { 'content-length': '4194304' }],
  ])('at the end of the turn: %s', async (_what, headers) => {
    const begun = begins(headers)
    expect(begun).toEqual([])
    await turn()
    expect(begun).toEqual([false])
  })

  it('at once with a body of unknown length', () => {
    expect(begins({ 'transfer-encoding': 'chunked' })).toEqual([false])
  })

  it('at the end of the turn when an earlier one of its connection is not answered, the 32nd as the last', async () => {
    const [second, last] = [begins({ 'content-length': '4097' }, 2), begins({}, 32)]
    expect([second, last]).toEqual([[], []])
    await turn()
    expect([second, last]).toEqual([[false], [true]])
  })

  it.each([1, 2])(
    'before hundreds of another network that came first: the %i. of its connection',
    async place => {
      const flood = Array.from({ length: 300 }, (_, each) => begins({}, place, `192.0.2.${each % 256}`))
      const honest = begins({}, place, '198.51.100.1')
      await turn()
      expect(honest).toEqual([false])
      expect(flood.filter(begun => begun.length > 0)).toHaveLength(15)
      while (flood.some(begun => begun.length === 0)) await turn()
    },
  )
})
