import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'

let mintmark: TestService
let admin: TestService['admin']
beforeAll(async () => {
  mintmark = await startTestService()
  ;({ admin } = mintmark)
})
afterAll(() => mintmark.stop())

describe('Usage reporters', () => {
  it('have a secret that is shown once, and stored as an HMAC only', async () => {
    const made = await admin('POST', '/usage-reporters', { name: 'envoy', audiences: ['vllm'] })
    expect(made.status).toBe(201)
    const { id, secret } = made.body
    expect(secret).toMatch(/^mmr_[0-9A-Za-z]{16}_[0-9A-Za-z]{49}$/)
    expect(made.body).toMatchObject({
      name: 'envoy',
      audiences: ['vllm'],
      state: 'active',
      created_by: 'root',
    })
    for (const path of [`/usage-reporters/${id}`, '/usage-reporters', '/audit-events'])
      expect((await admin('GET', path)).text).not.toContain(secret.slice(-49))
    const rows = await mintmark.database.asOwner<{ row: string }>(
      'SELECT r::text AS row FROM usage_reporters AS r',
    )
    expect(rows.map(({ row }) => row).join()).not.toContain(secret.slice(-49))
  })

  it('stay readable after they are deleted, once or twice', async () => {
    const { body } = await admin('POST', '/usage-reporters', { audiences: ['vllm'] })
    const path = `/usage-reporters/${body.id}`
    expect((await admin('DELETE', path)).status).toBe(204)
    const after = await admin('GET', path)
    expect(after.body).toMatchObject({ state: 'deleted', deleted_at: expect.any(String) })
    expect((await admin('DELETE', path)).status).toBe(204)
    expect((await admin('GET', path)).body).toEqual(after.body)
    const audited = await admin('GET', `/audit-events?limit=100`)
    const own = audited.body.data.filter((event: { target_id: string }) => event.target_id === body.id)
    expect(own.map((event: { action: string }) => event.action)).toEqual([
      'usage-reporter.delete',
      'usage-reporter.create',
    ])
  })

  it.each([
    ['no audience', { audiences: [] }],
    ['an audience twice', { audiences: ['vllm', 'vllm'] }],
    ['no list', { name: 'envoy' }],
  ])('need audiences: %s is invalid', async (_, body) => {
    expect((await admin('POST', '/usage-reporters', body)).status).toBe(400)
  })
})
