import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { oneByOne } from '../../src/system/one-by-one.ts'

const afterWaiting = async (ms: number) => {
  await sleep(ms)
  if (ms < 5) throw new Error(`failed after ${ms}`)
  return ms
}

it('results are in the order of the items', async () => {
  expect(await oneByOne([9, 5, 7], afterWaiting)).toEqual([9, 5, 7])
})

it('the error is that of the first item that fails, also where a later one fails sooner', async () => {
  await expect(oneByOne([9, 4, 1], afterWaiting)).rejects.toThrow('failed after 4')
})
