import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { createServer, type Server } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { tokenFor } from '../gateway/check-client.ts'
import { isAbsent, startProgram } from '../gateway-configs/program.ts'
import { makeAuthority, makeCertificate } from '../support/certificates.ts'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import { startTestService, type TestService } from '../support/test-service.ts'

/** Apache with mod_auth_openidc as a resource server (RFC 7662): it asks about each token, and hands its claims on. */

const MODULES = '/usr/lib/apache2/modules'
const absent = isAbsent('apache2') || !existsSync(join(MODULES, 'mod_auth_openidc.so'))
const isRequired = process.env.MINTMARK_REQUIRE_GATEWAYS === '1'

const AUTHORITY = makeAuthority('tokens')
const SERVER = makeCertificate(AUTHORITY, {
  name: 'localhost',
  authorityName: 'tokens',
  dnsNames: ['localhost'],
})

let mintmark: TestService
/** The module speaks to https only: TLS is terminated in front of Mintmark, as in production. */
let terminated: Server
let apache: Awaited<ReturnType<typeof startProgram>>
let upstream: Awaited<ReturnType<typeof startRecordingUpstream>>
beforeAll(async () => {
  if (absent && !isRequired) return
  mintmark = await startTestService({ env: { MINTMARK_ISSUER: '', MINTMARK_HOST: 'localhost' } })
  upstream = await startRecordingUpstream()
  terminated = createServer({ cert: SERVER.certificate, key: SERVER.key }, client => {
    const onward = connect(Number(new URL(mintmark.service.urls.public).port), 'localhost')
    for (const socket of [client, onward]) socket.on('error', () => {})
    client.pipe(onward).pipe(client)
  })
  await new Promise<void>(resolve => terminated.listen(0, '127.0.0.1', resolve))
  const settings = { role: 'introspector', audiences: ['vllm'] }
  const introspector = (await mintmark.admin('POST', '/admin-tokens', settings)).body
  apache = await startProgram('apache2', async (folder, port) => {
    const file = join(folder, 'apache.conf')
    await writeFile(join(folder, 'ca.pem'), AUTHORITY.certificate)
    await writeFile(file, configuration({ folder, port, introspector }), { mode: 0o600 })
    return ['-d', folder, '-f', file, '-DFOREGROUND']
  })
})
afterAll(async () => {
  await apache?.stop()
  await upstream?.stop()
  terminated?.close()
  await mintmark?.stop()
})

const modules = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'proxy', 'proxy_http', 'auth_openidc']

const configuration = ({
  folder,
  port,
  introspector,
}: {
  folder: string
  port: number
  introspector: { id: string; secret: string }
}) => `
ServerName localhost
Listen 127.0.0.1:${port}
PidFile ${folder}/pid
ErrorLog ${folder}/error.log
LogLevel warn
${modules.map(name => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`).join('\n')}
User www-data
Group www-data
OIDCOAuthIntrospectionEndpoint https://localhost:${(terminated.address() as AddressInfo).port}/oauth/introspect
OIDCCABundlePath ${folder}/ca.pem
OIDCOAuthIntrospectionEndpointAuth client_secret_basic
OIDCOAuthClientID ${introspector.id}
OIDCOAuthClientSecret ${introspector.secret}
OIDCOAuthRemoteUserClaim sub
OIDCOAuthTokenExpiryClaim exp absolute mandatory
# Each request asks: no answer is used again.
OIDCOAuthTokenIntrospectionInterval 0
<Location />
  AuthType oauth20
  Require claim scope:inference
  ProxyPass http://127.0.0.1:${upstream.port}/
</Location>
`

const statusOf = async (token: string | undefined, path = '/v1/models') => {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return (await fetch(`${apache.url}${path}`, { headers })).status
}

describe.skipIf(absent && !isRequired)('mod_auth_openidc', () => {
  it('accepts a live token, and hands its claims to the upstream', async () => {
    const key = await mintmark.tenantWithKey({ tier: 'batch' })
    upstream.forget()
    expect(await statusOf(await tokenFor(mintmark, key.secret))).toBe(200)
    expect(upstream.theRequest().headers).toMatchObject({
      oidc_claim_tenant: key.tenantId,
      oidc_claim_sub: key.keyId,
      oidc_claim_priority: '10',
    })
  })

  it('rejects a token from the moment of its revocation, by jti, key, or suspension, and no other', async () => {
    const key = await mintmark.tenantWithKey()
    const [one, two] = [await tokenFor(mintmark, key.secret), await tokenFor(mintmark, key.secret)]
    const stranger = await tokenFor(mintmark, (await mintmark.tenantWithKey()).secret)
    expect([await statusOf(one), await statusOf(two)]).toEqual([200, 200])
    const { jti } = JSON.parse(Buffer.from(one.split('.')[1] ?? '', 'base64url').toString())
    await mintmark.admin('POST', '/token-revocations', { jti })
    expect([await statusOf(one), await statusOf(two)]).toEqual([401, 200])
    await mintmark.admin('POST', '/token-revocations', { key: key.keyId })
    expect([await statusOf(two), await statusOf(stranger)]).toEqual([401, 200])
    const third = await tokenFor(mintmark, key.secret)
    expect(await statusOf(third)).toBe(200)
    await mintmark.admin('POST', `/tenants/${key.tenantId}/suspend`)
    expect([await statusOf(third), await statusOf(stranger)]).toEqual([401, 200])
  })

  it('rejects no token, a forged one, and one of another audience', async () => {
    const other = 'https://other.example.test'
    const key = await mintmark.tenantWithKey({ audiences: ['vllm', other] })
    const form = { grant_type: 'client_credentials', client_secret: key.secret, audience: other }
    const foreign = (await mintmark.token(form)).body.access_token
    const live = await tokenFor(mintmark, key.secret)
    for (const token of [undefined, 'x', `${live}x`, foreign]) expect(await statusOf(token)).toBe(401)
  })
})
