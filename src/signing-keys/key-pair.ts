import { createPublicKey, type KeyObject, sign, verify, type webcrypto } from 'node:crypto'
import type { PublicJwk } from './signing-key.ts'

const PROBE = Buffer.from('mintmark key pair')

/** Whether what the private key signs verifies with the public one. */
export function isKeyPair(privateKey: KeyObject, { publicJwk }: { publicJwk: PublicJwk }): boolean {
  const digest = privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  try {
    const publicKey = createPublicKey({ key: publicJwk as webcrypto.JsonWebKey, format: 'jwk' })
    return verify(digest, PROBE, publicKey, sign(digest, PROBE, privateKey))
  } catch {
    // The keys are of different types, or one is not a key.
    return false
  }
}
