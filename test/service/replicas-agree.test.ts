import { randomBytes } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose'
import { afterEach, describe, expect, it } from 'vitest'
import { rewriteSigningKeys } from '../support/sealed-rows.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { request, startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'

/** Replicas of one database that were started with other secrets: a valid key must never be reported as invalid. */
let database: TestDatabase
const running: TestService[] = []

afterEach(async () => {
  await Promise.all(running.splice(0).map(service => service.stop()))
  await database.drop()
})

const shared = { MINTMARK_ENCRYPTION_KEYS: pepper('e1') }
function pepper(id: string) {
  return `${id}:${randomBytes(32).toString('base64url')}`
}

async function replica(peppers: string) {
  const service = await startTestService({ database, env: { ...shared, MINTMARK_PEPPERS: peppers } })
  running.push(service)
  return service
}

const exchange = (service: TestService, secret: string) =>
  service.token({ grant_type: 'client_credentials', client_secret: secret })

describe('peppers', () => {
  it('a replica with another value under a recorded id answers 503 for keys it cannot find, never 401', async () => {
    database = await createTestDatabase()
    const [k1, ours, theirs] = [pepper('k1'), pepper('p2'), pepper('p2')]
    const first = await replica(`${k1},${ours}`)
    const second = await replica(`${theirs},${k1}`)
    const { secret } = await second.tenantWithKey()
    expect(await exchange(second, secret)).toMatchObject({ status: 200 })
    expect(await exchange(first, secret)).toMatchObject({ status: 503 })
  })

  it('a replica with a dropped pepper creates no keys that others would not find', async () => {
    database = await createTestDatabase()
    const [old, next] = [pepper('k1'), pepper('k2')]
    const behind = await replica(`${old},${next}`)
    const moved = await replica(`${next},${old}`)
    // Nothing is sealed with the old one any more.
    expect((await moved.admin('POST', '/signing-keys/rewrap')).body).toMatchObject({ resealed: 2 })
    await replica(next)
    await behind.admin('POST', '/tenants', { id: 'acme' })
    expect(await behind.admin('POST', '/tenants/acme/keys', {})).toMatchObject({ status: 503 })
    expect((await behind.admin('GET', '/tenants/acme/keys')).body.data).toEqual([])
  })
})

describe('signing keys', () => {
  it('a key that does not decrypt is still published, and the others continue to sign', async () => {
    database = await createTestDatabase()
    const service = await replica(pepper('p1'))
    const { secret } = await service.tenantWithKey()
    const { publicKey } = await generateKeyPair('RS256')
    const kid = await calculateJwkThumbprint(await exportJWK(publicKey))
    const jwk = { ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' }
    await rewriteSigningKeys(
      database,
      service.environment,
      `INSERT INTO signing_keys (kid, alg, state, public_jwk, private_encrypted, encryption_key_id, published_at)
        VALUES ($1, 'RS256', 'standby', $2, '\\x00', 'e9', date_trunc('second', now()))`,
      [kid, JSON.stringify(jwk)],
    )
    const published = async () => {
      const { body } = await request(`${service.service.urls.public}/.well-known/jwks.json`)
      return body.keys.map((key: { kid: string }) => key.kid)
    }
    await until('the key is published', published, kids => kids.includes(kid))
    expect(await published()).toHaveLength(3)
    expect(await exchange(service, secret)).toMatchObject({ status: 200 })
    expect(service.logs.join('')).toContain(
      `Signing key ${kid} is encrypted with the encryption key \\"e9\\"`,
    )
  })
})
