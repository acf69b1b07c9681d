import { generateKeyPairSync } from 'node:crypto'
import Provider from 'oidc-provider'
import { CLAIMS } from './claims.ts'

/**
 * panva's node-oidc-provider as its documentation sets it up: client_credentials, JWT access tokens signed with ES256,
 * its in-memory adapter, no log. Its tokens have the same claims as the others.
 *
 *   node oidc-provider.js <client_id> <client_secret>
 */
const [, , client_id, client_secret] = process.argv
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const provider = new Provider('http://127.0.0.1', {
  clients: [
    {
      client_id,
      client_secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: 'ES256',
    },
  ],
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
  scopes: ['inference'],
  ttl: { ClientCredentials: 300 },
  extraTokenClaims: () => CLAIMS,
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => 'https://vllm.example',
      getResourceServerInfo: () => ({
        scope: 'inference',
        audience: 'vllm',
        accessTokenTTL: 300,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
})
const server = provider.listen(0, '127.0.0.1', () => {
  console.log(JSON.stringify({ msg: 'ready', public: `http://127.0.0.1:${server.address().port}` }))
})
