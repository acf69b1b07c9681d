import { createPublicKey, type JsonWebKeyInput, type KeyObject } from 'node:crypto'
import { calculateJwkThumbprint, compactVerify, type JWK } from 'jose'
import type { Assertion, Refusal } from './assertion.ts'
import type { KeySet } from './identity-provider.ts'
import type { AssertionAlg } from './provider-kind.ts'

/** A public key of an issuer or of a client. */
export interface VerificationKey {
  kid: string | undefined
  /** The algorithms it can be used with: one, if the JWK names it. */
  algs: readonly AssertionAlg[]
  /** RFC 7638, SHA-256. */
  thumbprint: string
  key: KeyObject
}

export type SignatureFault =
  | 'assertion_alg'
  | 'assertion_unknown_key'
  | 'assertion_ambiguous_key'
  | 'assertion_signature'

const MOST_KEYS = 100
/** Of one credential of a client: a key and those that take its place. */
export const MOST_CLIENT_KEYS = 10
const SHORTEST_RSA_BITS = 2048
/** Bounds the time of a verification: a client chooses its own key. */
const LONGEST_RSA_BITS = 8192
const LARGEST_RSA_EXPONENT = 0xffff_ffffn
const PRIVATE = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']
const RSA_ALGS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const
const CURVES: Readonly<Record<string, AssertionAlg>> = {
  'P-256': 'ES256',
  'P-384': 'ES384',
  'P-521': 'ES512',
  Ed25519: 'EdDSA',
}

/** A JWK Set that cannot be used at all. The message is for an operator. */
export class UnusableKeys extends Error {
  override readonly name = 'UnusableKeys'
}

/**
 * The keys of a JWK Set (RFC 7517 §5) that verify signatures; keys of another use or type are left out, as §5 requires.
 * @throws {UnusableKeys} for anything else, private keys, and a set without a usable key.
 */
export async function parseKeySet(value: unknown, most = MOST_KEYS): Promise<VerificationKey[]> {
  const keys = (value as { keys?: unknown } | null)?.keys
  if (typeof value !== 'object' || !Array.isArray(keys))
    throw new UnusableKeys('must be a JWK Set: an object with a list of keys')
  if (keys.length > most) throw new UnusableKeys(`must have at most ${most} keys`)
  const parsed = await Promise.all(keys.map(parseKey))
  const usable = parsed.filter(key => key !== undefined)
  if (usable.length === 0)
    throw new UnusableKeys('must have a public key for signatures: EC, Ed25519, or RSA of 2048 to 8192 bits')
  return usable
}

/** The members of a JWK that are read. */
const MEMBERS = ['kty', 'crv', 'x', 'y', 'n', 'e', 'kid', 'use', 'alg']

/** A JWK Set with nothing but what `parseKeySet` reads: what an issuer adds is not kept. `value` was parsed before. */
export function plainKeySet(value: unknown): KeySet {
  const { keys } = value as { keys: readonly unknown[] }
  const plain = keys.flatMap(key => {
    if (typeof key !== 'object' || key === null) return []
    const { key_ops: operations, ...jwk } = key as Record<string, unknown>
    const members = Object.entries(jwk).filter(
      ([name, member]) => MEMBERS.includes(name) && typeof member === 'string',
    )
    const texts = Array.isArray(operations) ? operations.filter(each => typeof each === 'string') : undefined
    return { ...Object.fromEntries(members), ...(texts && { key_ops: texts }) }
  })
  return { keys: plain }
}

async function parseKey(value: unknown): Promise<VerificationKey | undefined> {
  if (typeof value !== 'object' || value === null) return undefined
  const jwk = value as JWK & Record<string, unknown>
  if (PRIVATE.some(name => Object.hasOwn(jwk, name)))
    throw new UnusableKeys('must not have private or symmetric keys')
  const { kid, use, key_ops: operations } = jwk
  // A SPIFFE bundle names its keys for JWTs so, and those for certificates `x509-svid`.
  const isForJwt = use === undefined || use === 'sig' || use === 'jwt-svid'
  const mayVerify = operations === undefined || (Array.isArray(operations) && operations.includes('verify'))
  if (!isForJwt || !mayVerify || (kid !== undefined && typeof kid !== 'string')) return undefined
  const algs = algsOf(jwk)
  if (algs.length === 0) return undefined
  try {
    const key = createPublicKey({ key: jwk as JsonWebKeyInput['key'], format: 'jwk' })
    if (jwk.kty === 'RSA' && !isUsableRsa(key)) return undefined
    return { kid, algs, thumbprint: await calculateJwkThumbprint(jwk), key }
  } catch {
    return undefined
  }
}

function isUsableRsa({ asymmetricKeyDetails: details }: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n } = details ?? {}
  return (
    modulusLength >= SHORTEST_RSA_BITS &&
    modulusLength <= LONGEST_RSA_BITS &&
    publicExponent >= 3n &&
    publicExponent <= LARGEST_RSA_EXPONENT
  )
}

function algsOf({ kty, crv, alg }: JWK): readonly AssertionAlg[] {
  const possible: readonly AssertionAlg[] =
    kty === 'RSA' ? RSA_ALGS : (kty === 'EC' || kty === 'OKP') && crv && CURVES[crv] ? [CURVES[crv]] : []
  // RFC 9864: the name of EdDSA with this curve.
  const named = alg === 'Ed25519' ? 'EdDSA' : alg
  return named === undefined ? possible : possible.filter(each => each === named)
}

export type KeyChoice = { ok: true; key: VerificationKey } | Refusal<SignatureFault>

/** The one key that the assertion names. Without a `kid` it must be the only one of its algorithm. */
export function keyFor(
  { alg, kid }: Assertion,
  keys: readonly VerificationKey[],
  allowed: readonly AssertionAlg[],
): KeyChoice {
  const accepted = allowed.find(each => each === alg)
  if (accepted === undefined) return { ok: false, reason: 'assertion_alg' }
  const [key, another] = keys.filter(
    each => each.algs.includes(accepted) && (kid === undefined || each.kid === kid),
  )
  if (!key) return { ok: false, reason: 'assertion_unknown_key' }
  return another ? { ok: false, reason: 'assertion_ambiguous_key' } : { ok: true, key }
}

/** Whether the key signed the assertion with the algorithm that its header names. */
export async function hasSignatureOf({ jws, alg }: Assertion, { key }: VerificationKey): Promise<boolean> {
  try {
    await compactVerify(jws, key, { algorithms: [alg] })
    return true
  } catch {
    return false
  }
}
