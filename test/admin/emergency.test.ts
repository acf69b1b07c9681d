import { decodeProtectedHeader } from 'jose'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startReplica } from '../support/replicas.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

interface Key {
  kid: string
  state: string
  activates_at: string | null
  held: boolean
}

let mintmark: TestService
beforeAll(async () => {
  mintmark = await startTestService()
})
afterAll(() => mintmark.stop())

const post = (path: string, body?: object) => mintmark.admin('POST', `/signing-keys${path}`, body)
const listed = async (): Promise<Key[]> => (await mintmark.admin('GET', '/signing-keys')).body.data
const inState = async (state: string): Promise<Key> => {
  const key = (await listed()).find(candidate => candidate.state === state)
  if (!key) throw new Error(`there is no ${state} key`)
  return key
}
const publishedBy = async (service: TestService): Promise<string[]> =>
  (await request(`${service.service.urls.public}/.well-known/jwks.json`)).body.keys.map((key: Key) => key.kid)

describe('hold', () => {
  it('pins the signing key: the standby is not scheduled, and a rotation is rejected, until it is released', async () => {
    const { kid, activates_at } = await inState('active')
    const turn = (await inState('standby')).activates_at
    for (let count = 0; count < 2; count++)
      expect((await post(`/${kid}/hold`)).body).toMatchObject({ kid, held: true, activates_at })
    expect((await inState('standby')).activates_at).toBeNull()
    const refused = await post('/rotate', {})
    expect([refused.status, refused.body.code]).toEqual([409, 'signing_key_held'])
    for (let count = 0; count < 2; count++) expect((await post(`/${kid}/release`)).body.held).toBe(false)
    expect((await inState('standby')).activates_at).toBe(turn)
  })

  it('of a key that is not published is 404', async () => {
    expect((await post('/nobody/hold')).status).toBe(404)
  })
})

describe('revoke', () => {
  it('activates the standby at once, publishes the next, and reports the replicas that have not confirmed', async () => {
    const before = await Promise.all([inState('active'), inState('standby')])
    const behind = await TcpProxy.before(mintmark.database.applicationUrl)
    const connected = await startReplica(mintmark)
    const cutOff = await startReplica(mintmark, {
      DATABASE_URL: behind.url,
      MINTMARK_STALENESS_SECONDS: '600',
    })
    const { secret } = await mintmark.tenantWithKey()
    const kidOf = async (service: TestService) => {
      const { status, text, body } = await service.token({
        grant_type: 'client_credentials',
        client_secret: secret,
      })
      if (status !== 200) throw new Error(`the exchange was refused: ${status} ${text}`)
      return decodeProtectedHeader(body.access_token).kid
    }
    for (const service of [mintmark, connected, cutOff])
      expect(await until('it signs', () => kidOf(service))).toBe(before[0].kid)
    // A key that only its database knows would be unknown in the outage.
    const positionOf = ({ service }: TestService) => service.changes.position
    await until('it has followed', () => positionOf(cutOff) === positionOf(mintmark))
    await behind.become('refuse')

    const revoke = () => post(`/${before[0].kid}/revoke`, { reason: 'found in a log' })
    const first = await revoke()
    expect([first.status, first.body.kid, first.body.state]).toEqual([200, before[0].kid, 'revoked'])
    // It waits for two seconds. On a busy machine a connected replica may take longer, and confirms when it is asked again.
    const statesIn = ({ body }: typeof first): string[] => body.replicas.map(({ state }: Key) => state).sort()
    const isConfirmed = (answer: typeof first) => statesIn(answer)[1] === 'confirmed'
    const { body } = isConfirmed(first) ? first : await until('it is confirmed', revoke, isConfirmed)
    expect(statesIn({ ...first, body })).toEqual(['confirmed', 'confirmed', 'unconfirmed'])
    const unconfirmed = body.replicas.find((replica: { state: string }) => replica.state === 'unconfirmed')
    expect(Date.parse(unconfirmed.signs_until) - Date.parse(unconfirmed.seen_at)).toBe(610_000)
    expect(body.verifiers.map((verifier: { name: string }) => verifier.name)).toContain(
      'Istio (istiod fetches)',
    )

    for (const service of [mintmark, connected]) {
      expect(await kidOf(service)).toBe(before[1].kid)
      expect(await publishedBy(service)).not.toContain(before[0].kid)
      expect(await publishedBy(service)).toHaveLength(2)
    }
    expect(await kidOf(cutOff)).toBe(before[0].kid)
    await behind.become('none')
    await until(
      'it is notified',
      () => kidOf(cutOff),
      kid => kid === before[1].kid,
    )

    const again = await post(`/${before[0].kid}/revoke`, {})
    expect(again.status).toBe(200)
    await until('all have confirmed', async () =>
      (await post(`/${before[0].kid}/revoke`, {})).body.replicas.every(
        (replica: { state: string }) => replica.state === 'confirmed',
      ),
    )
    const audited = await mintmark.database.asOwner<{ changes: object }>(
      "SELECT changes FROM audit_events WHERE action = 'signing-key.revoke'",
    )
    expect(audited).toEqual([{ changes: { state: { to: 'removed' }, reason: { to: 'found in a log' } } }])
    const stored = await mintmark.database.asOwner(
      'SELECT private_encrypted FROM signing_keys WHERE kid = $1',
      [before[0].kid],
    )
    expect(stored).toEqual([{ private_encrypted: null }])
    await Promise.all([connected.stop(), cutOff.stop()])
    await behind.close()
    expect((await mintmark.admin('GET', '/installation')).body.replicas).toHaveLength(1)
  })

  it('of the standby publishes another, and of a key that is not published is 404', async () => {
    const { kid } = await inState('standby')
    expect((await post(`/${kid}/revoke`, {})).status).toBe(200)
    expect((await inState('standby')).kid).not.toBe(kid)
    expect((await post('/nobody/revoke', {})).status).toBe(404)
  })
})
