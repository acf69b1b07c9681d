import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CheckEnvironment, startCheckEnvironment } from './check-environment.ts'
import { send } from './client.ts'
import { startNginx } from './nginx.ts'
import { isAbsent } from './program.ts'

/** Bodies of 4 MB that take nginx long to read, with a valid credential. */
const MANY = 130_000
const SLOW: Record<string, [body: string, status: number]> = {
  'a million escaped quotes': [`{"model":"x","a":"${'\\"'.repeat(1_000_000)}"}`, 403],
  '130,000 nested strings': [`{"model":"x","a":[${Array(MANY).fill('"abcdefghijkl"').join(',')}]}`, 403],
  'a million brackets': [`{"model":"x","a":${'['.repeat(1_000_000)}`, 400],
  '990 numbers of 1,000 digits': [
    `{"model":"x"${Array.from({ length: 990 }, (_, n) => `,"n${n}":${'1'.repeat(1_000)}`).join('')}}`,
    403,
  ],
  'a prompt that quotes JSON': [
    JSON.stringify({
      model: 'llama-3-8b',
      messages: [{ role: 'user', content: JSON.stringify(Array(100_000).fill({ name: 'value' })) }],
    }),
    200,
  ],
}

describe.skipIf(isAbsent('nginx'))('one worker of nginx', () => {
  let environment: CheckEnvironment
  beforeAll(async () => {
    environment = await startCheckEnvironment(startNginx)
  })
  afterAll(() => environment.stop())

  it.each(Object.entries(SLOW))('answers others while it reads %s', async (_, [body, status]) => {
    const { gateway, acme } = environment
    let isRead = false
    const slow = send(gateway.url, { token: acme.token, body }).finally(() => {
      isRead = true
    })
    let others = 0
    while (!isRead) {
      expect((await send(gateway.url, { token: acme.token })).status).toBe(200)
      others++
    }
    expect((await slow).status).toBe(status)
    // Without turns one waits for the whole body, and what is left of the others is one or two.
    expect(others).toBeGreaterThan(4)
  })

  it('judges each of several bodies that it reads at the same time by itself', async () => {
    const { gateway, acme } = environment
    const bodies = [...Object.values(SLOW), ...Object.values(SLOW)]
    const answers = await Promise.all(bodies.map(([body]) => send(gateway.url, { token: acme.token, body })))
    expect(answers.map(({ status }) => status)).toEqual(bodies.map(([, status]) => status))
  })
})
