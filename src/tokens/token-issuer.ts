import { SignJWT } from 'jose'
import type { Caller } from '../api-keys/authenticator.ts'
import { Unavailable } from '../errors.ts'
import type { KeyRing } from '../signing-keys/jwks.ts'
import type { Random } from '../system/random.ts'
import { ACCESS_TOKEN_TYPE, accessTokenClaims } from './claims.ts'

export interface AccessToken {
  jwt: string
  tokenId: string
  kid: string
  /** `exp` less `iat`, in seconds. */
  expiresIn: number
  scope: string
}

const TOKEN_ID_BYTES = 16

/** Signs access tokens with the key whose turn it is. */
export class TokenIssuer {
  readonly #issuer: string
  readonly #alg: () => string
  readonly #ring: () => KeyRing
  readonly #random: Random

  /** `alg` and `ring` give the algorithm and the keys as they are now. */
  constructor(options: { issuer: string; alg: () => string; ring: () => KeyRing; random: Random }) {
    this.#issuer = options.issuer
    this.#alg = options.alg
    this.#ring = options.ring
    this.#random = options.random
  }

  /** @throws {Unavailable} when there is no key to sign with. */
  async issue(
    caller: Caller,
    grant: { scopes: readonly string[]; audiences: readonly string[] },
  ): Promise<AccessToken> {
    const signer = this.#ring().signer(this.#alg(), caller.at)
    if (!signer) throw new Unavailable('There is no key to sign with. Try again.')
    const tokenId = this.#random.bytes(TOKEN_ID_BYTES).toString('base64url')
    const claims = accessTokenClaims({ issuer: this.#issuer, caller, ...grant, tokenId })
    const header = { alg: signer.alg, kid: signer.kid, typ: ACCESS_TOKEN_TYPE }
    const jwt = await new SignJWT({ ...claims }).setProtectedHeader(header).sign(signer.privateKey)
    return { jwt, tokenId, kid: signer.kid, expiresIn: claims.exp - claims.iat, scope: claims.scope }
  }
}
