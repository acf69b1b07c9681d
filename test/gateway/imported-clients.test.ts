import { createHash } from 'node:crypto'
import bcrypt from 'bcrypt'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { admitted, ask, bearer, deniedAs, tokenFor } from './check-client.ts'

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService({ env: { MINTMARK_GATEWAY_KEY_HEADERS: 'x-api-key' } })
  await mintmark.admin('PUT', '/models/llama-3-8b', {})
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(() => mintmark.stop())

const secret = 'chosen-by-a-person'
const SCHEMES: [scheme: string, hash: () => Promise<string> | string][] = [
  ['sha256', () => createHash('sha256').update(secret).digest('hex')],
  ['bcrypt', () => bcrypt.hash(secret, 9)],
]

describe.each(SCHEMES)('the secret of an imported client (%s)', (scheme, hash) => {
  const client_id = `legacy-${scheme}`
  beforeAll(async () => {
    const client = { client_id, tenant: 'acme', scheme, hash: await hash() }
    const { status, text } = await mintmark.admin('POST', '/imported-clients', { clients: [client] })
    if (status !== 200) throw new Error(`not imported: ${text}`)
  })

  const PLACES: [place: string, headers: () => [string, string][]][] = [
    ['alone', () => bearer(secret)],
    ['with its client_id', () => bearer(`${client_id}:${secret}`)],
    ['as Basic', () => [['Authorization', `Basic ${btoa(`${client_id}:${secret}`)}`]]],
    ['in x-api-key', () => [['x-api-key', secret]]],
    ['in x-api-key with its client_id', () => [['x-api-key', `${client_id}:${secret}`]]],
    ['with a header with its client_id', () => [...bearer(secret), ['client_id', client_id]]],
  ]
  it.each(PLACES)('is rejected by the check, before and after it was exchanged: %s', async (_, headers) => {
    expect(deniedAs(await ask(mintmark, { headers: headers() }))).toBe('401 invalid_api_key')
    await tokenFor(mintmark, secret, { client_id })
    expect(deniedAs(await ask(mintmark, { headers: headers() }))).toBe('401 invalid_api_key')
  })

  it('is exchanged for a token, which passes', async () => {
    const token = await tokenFor(mintmark, secret, { client_id })
    expect(admitted(await ask(mintmark, { headers: bearer(token) })).jwt).toBe(token)
  })
})
