import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { briskClock } from '../support/adjustable-clock.ts'
import { makeAuthority, makeCertificate } from '../support/certificates.ts'
import { startTestService, type TestService } from '../support/test-service.ts'
import { until } from '../support/until.ts'
import { jws, newPair } from './assertions.ts'

/** `in_cluster`: keys behind RBAC, by the files of the pod's service account, which a kubelet replaces. test/cluster has the real one. */

const ISSUER = 'https://kubernetes.default.svc.cluster.local'
const SUBJECT = 'system:serviceaccount:acme:trainer'
const pair = newPair('one')
const folder = mkdtempSync(join(tmpdir(), 'mintmark-account-'))
const [authority, stranger] = [makeAuthority('cluster'), makeAuthority('stranger')]

/** Answers only the token that it accepts now, as an API server does without the rights for anonymous users. */
const api = { accepts: 'token-1', issuer: ISSUER, requests: [] as string[] }
let server: Server
let port: number
let mintmark: TestService
let audiences = 0

/** As a kubelet writes it: readers see the old file or the new one. */
function write(name: string, content: string) {
  writeFileSync(join(folder, 'new'), content)
  renameSync(join(folder, 'new'), join(folder, name))
}

beforeAll(async () => {
  const named = { name: 'api', authorityName: 'cluster', dnsNames: ['localhost'] }
  const { certificate: cert, key } = makeCertificate(authority, named)
  server = createServer({ cert, key }, (req, res) => {
    api.requests.push(`${req.url} ${req.headers.authorization}`)
    if (req.headers.authorization !== `Bearer ${api.accepts}`) return void res.writeHead(403).end()
    const document = { issuer: api.issuer, jwks_uri: 'https://10.0.0.1:6443/openid/v1/jwks' }
    res.end(JSON.stringify(req.url === '/openid/v1/jwks' ? { keys: [pair.jwk] } : document))
  })
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done))
  port = (server.address() as AddressInfo).port
  const env = {
    MINTMARK_KUBERNETES_API: `https://localhost:${port}`,
    MINTMARK_SERVICE_ACCOUNT_DIR: folder,
  }
  mintmark = await startTestService({ env, overrides: { clock: briskClock } })
  await mintmark.admin('POST', '/tenants', { id: 'acme' })
})
afterAll(async () => {
  await mintmark.stop()
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

const settings = (more: object = {}) => ({
  ...{ kind: 'kubernetes', issuer: ISSUER, audiences: [`mintmark-${++audiences}`], algorithms: ['ES256'] },
  ...{ in_cluster: true, ...more },
})
async function create(more: object = {}) {
  const given = settings(more)
  const { status, body, text } = await mintmark.admin('POST', '/identity-providers', given)
  expect(status, text).toBe(201)
  return { id: body.id as string, audience: given.audiences[0] ?? '', body }
}
const remove = (id: string) => mintmark.admin('DELETE', `/identity-providers/${id}`)
const fetchOf = async (id: string) => (await mintmark.admin('GET', `/identity-providers/${id}`)).body.fetch
const fails = (id: string, kind: string) =>
  until(
    `a failure of the kind ${kind}`,
    () => fetchOf(id),
    fetch => fetch?.last_error?.kind === kind,
  )
const succeeds = (id: string) =>
  until(
    'the keys',
    () => fetchOf(id),
    fetch => fetch?.last_success_at !== null,
  )

describe('A provider with in_cluster', () => {
  it('waits for the files of the service account, and says which is missing', async () => {
    const { id, body } = await create()
    expect(body).toMatchObject({ in_cluster: true, jwks: null, has_fetch_token: false })
    const { last_error } = await fails(id, 'cluster')
    expect(last_error.message).toBe(`${join(folder, 'token')} cannot be read: it does not exist (ENOENT).`)
    write('token', 'token-1\n')
    write('ca.crt', authority.certificate)
    await succeeds(id)
    await remove(id)
  })

  it('has its keys from the API server, not from where the discovery document says; its pods get tokens', async () => {
    api.requests.length = 0
    const { id, audience } = await create()
    await succeeds(id)
    expect(api.requests).toEqual([
      '/.well-known/openid-configuration Bearer token-1',
      '/openid/v1/jwks Bearer token-1',
    ])
    const credential = { type: 'federated', provider: id, subject: SUBJECT }
    const { body } = await mintmark.admin('POST', '/tenants/acme/workload-keys', { credential })
    const now = Math.floor(Date.now() / 1000)
    const claims = { iss: ISSUER, aud: [audience], sub: SUBJECT, iat: now, exp: now + 600 }
    const exchanged = await mintmark.token({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: jws(pair, { alg: 'ES256', kid: 'one' }, claims),
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    })
    expect([exchanged.status, body.key]).toEqual([200, expect.stringMatching(/^key_/)])
  })

  it('reads the token again for each fetch', async () => {
    api.accepts = 'token-2'
    const { id } = await create()
    await fails(id, 'status')
    write('token', 'token-2')
    await succeeds(id)
    expect(api.requests.at(-1)).toBe('/openid/v1/jwks Bearer token-2')
    await remove(id)
  })

  it('reads the authority again, and sends nothing to a server of another one', async () => {
    write('ca.crt', stranger.certificate)
    api.requests.length = 0
    const { id } = await create()
    await fails(id, 'connection')
    expect(api.requests).toEqual([])
    write('ca.crt', authority.certificate)
    await succeeds(id)
    await remove(id)
  })

  it('refuses a cluster with another issuer', async () => {
    api.issuer = 'https://other.example.com'
    const { id } = await create()
    const { last_error } = await fails(id, 'document')
    expect(last_error.message).toContain('The API server of this cluster has another issuer.')
    api.issuer = ISSUER
    await succeeds(id)
    await remove(id)
  })

  it.each<[string, object, string]>([
    ['of another kind', { kind: 'oidc' }, '/in_cluster'],
    ['with jwks', { jwks: { keys: [pair.jwk] } }, '/jwks'],
    ['with jwks_uri', { jwks_uri: 'https://example.com/keys' }, '/jwks_uri'],
    ['with ca_pem', { ca_pem: authority.certificate }, '/ca_pem'],
    ['with allow_addresses', { allow_addresses: ['10.0.0.0/8:443'] }, '/allow_addresses'],
    ['with a fetch token', { fetch_token: 'mine' }, '/fetch_token'],
  ])('%s is rejected by name', async (_, more, pointer) => {
    const { status, body } = await mintmark.admin('POST', '/identity-providers', settings(more))
    expect([status, body.errors.map((each: { pointer: string }) => each.pointer)]).toEqual([400, [pointer]])
  })

  it('is changed to one with keys, and back', async () => {
    const { id } = await create()
    const patch = (changes: object) => mintmark.admin('PATCH', `/identity-providers/${id}`, changes)
    expect((await patch({ in_cluster: false, jwks: { keys: [newPair('x').jwk] } })).body).toMatchObject({
      in_cluster: false,
      fetch: null,
    })
    expect((await patch({ in_cluster: true, jwks: null })).body.in_cluster).toBe(true)
    await succeeds(id)
    expect((await patch({ in_cluster: null })).body.in_cluster).toBe(false)
    await remove(id)
  })

  it('shows its token nowhere', async () => {
    expect(mintmark.logs.join('')).not.toMatch(/token-[12]/)
    for (const path of ['/identity-providers', '/audit-events?limit=100'])
      expect((await mintmark.admin('GET', path)).text).not.toMatch(/token-[12]/)
  })
})
