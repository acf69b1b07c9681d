import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { cliOf } from './mintmark.ts'

let service: TestService
let cli: ReturnType<typeof cliOf>
beforeAll(async () => {
  service = await startTestService()
  cli = cliOf(service)
  await service.admin('POST', '/tenants', { id: 'short' })
})
afterAll(() => service.stop())

describe('times and durations', () => {
  const seconds = async (...options: string[]) => {
    await cli.run('tenant', 'update', 'short', ...options)
    return (await service.admin('GET', '/tenants/short')).body
  }

  it.each([
    ['15m', 900],
    ['1h', 3600],
    ['900s', 900],
    ['120', 120],
    ['10m30s', 630],
  ])('--token-ttl-seconds %s', async (text, expected) => {
    expect((await seconds('--token-ttl-seconds', text)).token_ttl_seconds).toBe(expected)
  })

  it.each(['90', '2026-13-01', '2026-02-30', 'noon', '1d1d', '1h1d', 'd', '9e3d', '-5d'])(
    'a time is not %s',
    async text => {
      const ended = await cli.attempt(['key', 'list', '--unused-since', text])
      expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining('It must be a time like') })
    },
  )

  it('--expires-at takes 90d from now, a day, and lower case', async () => {
    const expiry = async (text: string) => {
      const key = await cli.json('key', 'create', 'short', '--expires-at', text)
      return Date.parse(key.expires_at)
    }
    const now = Date.now()
    const in90 = await expiry('90d')
    expect(Math.abs(in90 - now - 90 * 86_400_000)).toBeLessThan(60_000)
    const tomorrow = new Date(now + 2 * 86_400_000).toISOString().slice(0, 10)
    expect(await expiry(tomorrow)).toBe(Date.parse(`${tomorrow}T00:00:00Z`))
    expect(await expiry(`${tomorrow}t12:30z`)).toBe(Date.parse(`${tomorrow}T12:30:00Z`))
  })

  it('a filter takes 90d as 90 days ago', async () => {
    await service.admin('POST', '/tenants', { id: 'filtered' })
    const { id } = (await service.admin('POST', '/tenants/filtered/keys', {})).body
    const found = async (...options: string[]) => cli.run('key', 'list', 'filtered', '-q', ...options)
    expect(await found('--unused-since', '1d')).toBe('')
    expect(await found('--expires-before', '400d')).toBe(`${id}\n`)
    expect(await found('--expires-before', '30d')).toBe('')
  })
})
