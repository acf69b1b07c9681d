import type { KeyObject } from 'node:crypto'
import type { Caller } from '../authentication/authenticator.ts'
import type { SigningAlg } from '../config/signing-alg.ts'
import { Unavailable } from '../errors.ts'
import type { KeyRing } from '../signing-keys/key-ring.ts'
import type { Random } from '../system/random.ts'
import { ACCESS_TOKEN_TYPE, type AccessTokenClaims, accessTokenClaims } from './claims.ts'
import { CompactSigner } from './compact-jws.ts'

export interface AccessToken {
  jwt: string
  tokenId: string
  kid: string
  /** `exp` minus `iat`, in seconds. */
  expiresIn: number
  scope: string
  claims: AccessTokenClaims
}

const TOKEN_ID_BYTES = 16

/** The audiences of one token require different algorithms: the client must request one token for each. */
export class AudiencesDisagree extends Error {
  override readonly name = 'AudiencesDisagree'
}

/** Signs access tokens with the current signing key. */
export class TokenIssuer {
  readonly #issuer: string
  readonly #ring: () => KeyRing
  readonly #random: Random
  /** Weak, so that a signer is released with its key. */
  readonly #signers = new WeakMap<KeyObject, CompactSigner>()

  /** `ring` returns the current keys. */
  constructor(options: { issuer: string; ring: () => KeyRing; random: Random }) {
    this.#issuer = options.issuer
    this.#ring = options.ring
    this.#random = options.random
  }

  /** @throws {Unavailable} when there is no key to sign with. @throws {AudiencesDisagree} */
  async issue(
    caller: Caller,
    grant: { scopes: readonly string[]; audiences: readonly string[] },
  ): Promise<AccessToken> {
    const signer = this.#ring().signerFor(grant.audiences, caller.at)
    if (signer === 'ambiguous') throw new AudiencesDisagree()
    if (!signer) throw new Unavailable('No signing key is available. Retry.')
    const tokenId = this.#random.bytes(TOKEN_ID_BYTES).toString('base64url')
    const { claims, json } = accessTokenClaims({ issuer: this.#issuer, caller, ...grant, tokenId })
    const jwt = await this.#signerOf(signer).sign(json)
    const expiresIn = claims.exp - claims.iat
    return { jwt, tokenId, kid: signer.kid, expiresIn, scope: claims.scope, claims }
  }

  #signerOf({
    privateKey,
    alg,
    kid,
  }: {
    privateKey: KeyObject
    alg: SigningAlg
    kid: string
  }): CompactSigner {
    const known = this.#signers.get(privateKey)
    if (known) return known
    const signer = new CompactSigner(privateKey, { alg, kid, typ: ACCESS_TOKEN_TYPE })
    this.#signers.set(privateKey, signer)
    return signer
  }
}
