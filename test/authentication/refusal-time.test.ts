import { createHash } from 'node:crypto'
import bcrypt from 'bcrypt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type JsonAnswer, startTestService, type TestService } from '../support/test-service.ts'
import { timed } from '../support/until.ts'

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(() => mintmark.stop())

async function imported(client_id: string, scheme: 'sha256' | 'bcrypt', hash: string): Promise<string> {
  const clients = [{ client_id, tenant: 'acme', scheme, hash }]
  const { status, text, body } = await mintmark.admin('POST', '/imported-clients', { clients })
  expect(status, text).toBe(200)
  return body.rows[0].key
}
const exchange = (client_id: string, client_secret: string): Promise<JsonAnswer> =>
  mintmark.token({ grant_type: 'client_credentials', client_id, client_secret })

describe('how long a refusal takes does not tell', () => {
  /** Both in turn, so that whatever else the machine does falls on both. */
  const typical = async (...asks: ((time: number) => Promise<JsonAnswer>)[]): Promise<number[]> => {
    const took = asks.map((): number[] => [])
    for (let time = 0; time < 9; time++) {
      for (const [index, ask] of asks.entries()) {
        const { ms, result } = await timed(() => ask(time))
        expect(result.status).toBe(401)
        took[index]?.push(ms)
      }
    }
    return took.map(each => each.toSorted((one, other) => one - other)[4] as number)
  }

  it('clients with SHA-256 from those of nobody, where no bcrypt hash was imported', async () => {
    await imported('known', 'sha256', createHash('sha256').update('x').digest('hex'))
    const [known = 0, nobodys = 0] = await typical(
      () => exchange('known', 'wrong'),
      time => exchange(`nobody-${time}`, 'wrong'),
    )
    expect(Math.abs(known - nobodys)).toBeLessThan(10)
  })

  it('clients that were revoked from those of nobody', async () => {
    // One comparison of another cost would be far shorter or longer than one of these.
    const made = ['0', '1', '2'].map(each => `revoked-${each}`)
    for (const id of made) {
      const key = await imported(id, 'bcrypt', await bcrypt.hash(id, 12))
      await mintmark.admin('POST', `/keys/${key}/revoke`, {})
      expect((await mintmark.admin('GET', `/keys/${key}`)).body.state).toBe('revoked')
    }
    const [revoked = 0, nobodys = 0] = await typical(
      time => exchange(made[time % 3] ?? '', 'wrong'),
      time => exchange(`nobody-${time}`, 'wrong'),
    )
    expect(revoked / nobodys).toBeLessThan(1.5)
  })
})
