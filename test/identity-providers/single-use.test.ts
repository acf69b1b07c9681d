import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { startReplica } from '../support/replicas.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { jws, newPair } from './assertions.ts'

/** Client assertions at two replicas of one database: each is accepted once by each replica, or by both. */

const pair = newPair('own')
const JWT_CLIENT = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer'

let mintmark: TestService
let other: TestService
const clients: Record<string, string> = {}
beforeAll(async () => {
  mintmark = await startTestService()
  other = await startReplica(mintmark)
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
  for (const single_use of [undefined, 'database']) {
    const credential = { type: 'public_key', jwks: { keys: [pair.jwk] }, ...(single_use && { single_use }) }
    const made = await mintmark.admin('POST', '/tenants/acme/workload-keys', { credential })
    expect([made.status, made.body.credential?.single_use]).toEqual([201, single_use ?? 'replica'])
    clients[single_use ?? 'replica'] = made.body.key
  }
  for (const client of Object.values(clients))
    await until(
      'the other replica knows the credential',
      () => present(other, claimsOf(client)),
      status => status === 200,
    )
})
afterAll(async () => {
  await other.stop()
  await mintmark.stop()
})

function claimsOf(client = '', more: object = {}) {
  const exp = Math.floor(Date.now() / 1000) + 60
  return { iss: client, sub: client, aud: mintmark.service.issuer, jti: randomUUID(), exp, ...more }
}
const present = async (at: TestService, claims: object) =>
  (
    await at.token({
      grant_type: 'client_credentials',
      client_assertion_type: JWT_CLIENT,
      client_assertion: jws(pair, { alg: 'ES256', kid: 'own' }, claims),
    })
  ).status
const statuses = (claims: object, ...at: TestService[]) => Promise.all(at.map(each => present(each, claims)))

it('each replica accepts an assertion once, unless its credential has single_use: database', async () => {
  const loose = claimsOf(clients.replica)
  expect(await present(mintmark, loose)).toBe(200)
  expect(await statuses(loose, mintmark, other)).toEqual([401, 200])
  const strict = claimsOf(clients.database)
  expect(await present(mintmark, strict)).toBe(200)
  expect(await statuses(strict, mintmark, other)).toEqual([401, 401])
})

it('of many at the same time, at both replicas, one is accepted', async () => {
  for (let round = 0; round < 5; round++) {
    const found = await statuses(
      claimsOf(clients.database),
      mintmark,
      other,
      mintmark,
      other,
      other,
      mintmark,
    )
    expect(found.toSorted()).toEqual([200, 401, 401, 401, 401, 401])
  }
})

it('the same jti of two clients are two', async () => {
  const [jti, second] = [
    randomUUID(),
    await mintmark.admin('POST', '/tenants/acme/workload-keys', {
      credential: { type: 'public_key', jwks: { keys: [pair.jwk] }, single_use: 'database' },
    }),
  ]
  expect(await present(mintmark, claimsOf(clients.database, { jti }))).toBe(200)
  expect(await present(mintmark, claimsOf(second.body.key, { jti }))).toBe(200)
})

it('a replay is not written to the database again by a replica that knows it', async () => {
  const claims = claimsOf(clients.database)
  expect(await present(mintmark, claims)).toBe(200)
  expect(await present(other, claims)).toBe(401)
  await mintmark.database.asOwner('REVOKE INSERT ON used_assertions FROM mintmark_app')
  expect(await statuses(claims, mintmark, other)).toEqual([401, 401])
  expect(await present(mintmark, claimsOf(clients.database))).toBe(503)
  await mintmark.database.asOwner('GRANT INSERT ON used_assertions TO mintmark_app')
})

it('without the database it is 503, and the assertion is not used up on the other kind', async () => {
  await mintmark.database.asOwner('REVOKE INSERT ON used_assertions FROM mintmark_app')
  const claims = claimsOf(clients.database)
  expect(await present(mintmark, claims)).toBe(503)
  expect(await present(mintmark, claimsOf(clients.replica))).toBe(200)
  await mintmark.database.asOwner('GRANT INSERT ON used_assertions TO mintmark_app')
  // A client that retries with the same assertion succeeds.
  expect(await present(mintmark, claims)).toBe(200)
  expect(await present(other, claims)).toBe(401)
})
