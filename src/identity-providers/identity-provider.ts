import { versionOf } from '../database/version.ts'
import { escapePointer, type Fault } from '../errors.ts'
import { claimFaults } from './federated-rule.ts'
import { overlapping, type ProviderBounds } from './provider-bounds.ts'
import type { AssertionAlg, ProviderKind } from './provider-kind.ts'
import { parseSubject } from './subject-pattern.ts'

/** A JWK Set as it was given. */
export type KeySet = Readonly<Record<string, unknown>>

/** What an operator says of an outside issuer. */
export interface ProviderSettings {
  name: string
  kind: ProviderKind
  /** Byte-equal to `iss` of its assertions. */
  issuer: string
  /** The public keys. */
  jwks: KeySet
  /** Every audience of an assertion must be one of these. */
  audiences: readonly string[]
  algorithms: readonly AssertionAlg[]
  bounds: readonly ProviderBounds[]
}

export interface IdentityProvider extends ProviderSettings {
  /** `idp_` and 16 characters. */
  id: string
  /** `root`, or the id of an admin token. */
  createdBy: string | null
  createdAt: Date
  updatedAt: Date
}

export const providerVersion = (provider: IdentityProvider): string => versionOf(provider)

/** The names of an API server within its cluster. */
const API_SERVER = /^(https:\/\/)?kubernetes(\.default(\.svc(\.[-a-z0-9.]+)?)?)?(:[0-9]+)?\/?$/i
/** More would make a rule hard to read, and a check slow. */
const MOST_BOUNDS = 1_000

/** What is wrong with a provider by itself; empty: nothing. Its JWK Set is checked by `parseKeySet`. */
export function providerFaults({ kind, issuer, audiences, bounds }: ProviderSettings): Fault[] {
  const faults: Fault[] = []
  const isTrustDomain = kind === 'spiffe' && /^spiffe:\/\/[a-z0-9._-]{1,255}$/.test(issuer)
  if (!isTrustDomain && !isIssuer(issuer)) {
    const also = kind === 'spiffe' ? ', or spiffe://<trust domain>' : ''
    faults.push({ pointer: '/issuer', message: `must be an https URL without query and fragment${also}` })
  }
  // An API server accepts its own audience: the assertion would be a credential for the cluster.
  if (audiences.some(audience => audience === issuer || API_SERVER.test(audience)))
    faults.push({
      pointer: '/audiences',
      message: 'must not have the audience of the issuer itself: choose one that serves nothing but Mintmark',
    })
  return [...faults, ...boundsFaults(bounds)]
}

function isIssuer(text: string): boolean {
  if (!/^https:\/\/[\x21-\x7e]{1,200}$/.test(text) || !URL.canParse(text)) return false
  const { username, password, search, hash } = new URL(text)
  return username + password + search + hash === '' && !/[?#]/.test(text)
}

function boundsFaults(bounds: readonly ProviderBounds[]): Fault[] {
  if (bounds.length > MOST_BOUNDS)
    return [{ pointer: '/bounds', message: `must have at most ${MOST_BOUNDS} entries` }]
  const faults = bounds.flatMap(({ subject, claims }, place) => {
    const pointer = `/bounds/${place}`
    if (subject === null && Object.keys(claims).length === 0)
      return [{ pointer, message: 'must name a subject or a claim' }]
    if (subject !== null && !parseSubject(subject))
      return [
        { pointer: `${pointer}/subject`, message: 'must have * only as a whole segment between : or /' },
      ]
    return claimFaults(claims).map(fault => ({ ...fault, pointer: pointer + fault.pointer }))
  })
  if (faults.length > 0) return faults
  const pair = overlapping(bounds)
  return pair
    ? [
        {
          pointer: '/bounds',
          message: `must be disjoint between tenants: those of "${escapePointer(pair[0].tenantId)}" and "${escapePointer(pair[1].tenantId)}" overlap`,
        },
      ]
    : []
}

/** Whether an assertion could be from either: a provider is chosen by issuer and audience. */
export const areConfusable = (a: ProviderSettings, b: ProviderSettings): boolean =>
  a.issuer === b.issuer && a.audiences.some(audience => b.audiences.includes(audience))
