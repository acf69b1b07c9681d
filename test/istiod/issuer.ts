import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { AUDIENCE, ISSUER } from '../../deploy/generate/example.ts'

interface SigningKey {
  kid: string
  privateKey: CryptoKey
  jwk: JWK
}

/** A JWKS as Mintmark publishes it, with keys that are published, sign and are revoked at once: no test waits for a publish lead. */
export class Issuer {
  readonly #keys: SigningKey[] = []
  #modified = new Date()
  #stopped = false
  #server = createServer((_, res) => {
    if (this.#stopped) return void res.destroy()
    const headers = {
      'content-type': 'application/json',
      'cache-control': 'public, max-age=300',
      'last-modified': this.#modified.toUTCString(),
    }
    res.writeHead(200, headers).end(JSON.stringify({ keys: this.#keys.map(({ jwk }) => jwk) }))
  })

  async start(): Promise<{ url: string; end: () => void }> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    const { port } = this.#server.address() as AddressInfo
    const end = () => {
      this.#server.close()
      this.#server.closeAllConnections()
    }
    return { url: `http://127.0.0.1:${port}/.well-known/jwks.json`, end }
  }

  /** Whether each connection is reset, as while Mintmark is down. */
  set stopped(stopped: boolean) {
    this.#stopped = stopped
  }

  /** Publishes another key. */
  async publish(): Promise<string> {
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const jwk = await exportJWK(publicKey)
    const kid = await calculateJwkThumbprint(jwk)
    this.#keys.push({ kid, privateKey, jwk: { ...jwk, kid, alg: 'ES256', use: 'sig' } })
    this.#modified = new Date()
    return kid
  }

  revoke(kid: string): void {
    this.#keys.splice(
      this.#keys.findIndex(key => key.kid === kid),
      1,
    )
    this.#modified = new Date()
  }

  token(kid: string): Promise<string> {
    const key = this.#keys.find(each => each.kid === kid)
    if (!key) throw new Error(`no key ${kid}`)
    const claims = { client_id: 'key', tenant: 'acme', tier: 'standard', priority: '0', adapter_list: '' }
    return new SignJWT({ ...claims, scope: 'inference', models: ['llama-3-8b'], adapters: [] })
      .setProtectedHeader({ alg: 'ES256', kid, typ: 'at+jwt' })
      .setIssuer(ISSUER)
      .setSubject('key')
      .setAudience(AUDIENCE)
      .setIssuedAt()
      .setExpirationTime('10m')
      .sign(key.privateKey)
  }
}
