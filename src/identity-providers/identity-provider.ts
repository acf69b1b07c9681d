import { X509Certificate } from 'node:crypto'
import { versionOf } from '../database/version.ts'
import { escapePointer, type Fault } from '../errors.ts'
import { claimFaults } from './federated-rule.ts'
import { parseAllowedAddress } from './fetching/fetch-address.ts'
import type { StoredFetchToken } from './fetching/fetch-tokens.ts'
import { overlapping, type ProviderBounds } from './provider-bounds.ts'
import type { AssertionAlg, ProviderKind } from './provider-kind.ts'
import { parseSubject } from './subject-pattern.ts'

/** A JWK Set as it was given. */
export type KeySet = Readonly<Record<string, unknown>>

/** What an operator says of an identity provider. */
export interface ProviderSettings {
  name: string
  kind: ProviderKind
  /** Byte-equal to `iss` of its assertions. */
  issuer: string
  /** The public keys. Null: they are fetched. */
  jwks: KeySet | null
  /** Where the keys are fetched. Null, and without `jwks`: where the issuer has them. */
  jwksUri: string | null
  /** Certificates of the authorities that the issuer's server has one of, as PEM. Null: the system's. */
  caPem: string | null
  /** Addresses with a port that keys may be fetched from although they are not public: `10.0.0.0/8:443`. */
  allowAddresses: readonly string[]
  /** Sent as Bearer to where the keys are fetched: encrypted. Absent in rows of versions before it. */
  fetchToken?: StoredFetchToken | null
  /** The keys are those of the cluster that Mintmark runs in. Absent in rows of versions before it. */
  inCluster?: boolean
  /** How long fetched keys are used while fetches fail. */
  jwksMaxStaleSeconds: number
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
export function providerFaults(settings: ProviderSettings): Fault[] {
  const { kind, issuer, audiences, bounds } = settings
  const faults = sourceFaults(settings)
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

function sourceFaults(settings: ProviderSettings): Fault[] {
  return settings.inCluster ? clusterFaults(settings) : namedSourceFaults(settings)
}

/** Of a provider whose keys, address, authority and token are those of the cluster. */
function clusterFaults({
  kind,
  jwks,
  jwksUri,
  caPem,
  allowAddresses,
  fetchToken,
}: ProviderSettings): Fault[] {
  if (kind !== 'kubernetes')
    return [{ pointer: '/in_cluster', message: 'must be false, except with the kind kubernetes' }]
  const given = {
    jwks: jwks !== null,
    jwks_uri: jwksUri !== null,
    ca_pem: caPem !== null,
    allow_addresses: allowAddresses.length > 0,
    fetch_token: Boolean(fetchToken),
  }
  return Object.entries(given).flatMap(([name, isGiven]) =>
    isGiven
      ? [{ pointer: `/${name}`, message: 'must not be given, because in_cluster says where the keys are' }]
      : [],
  )
}

function namedSourceFaults({
  issuer,
  jwks,
  jwksUri,
  caPem,
  allowAddresses,
  fetchToken,
}: ProviderSettings): Fault[] {
  const faults: Fault[] = []
  if (jwks !== null && fetchToken)
    faults.push({ pointer: '/fetch_token', message: 'must be null, because jwks has the keys' })
  if (jwks !== null && jwksUri !== null)
    faults.push({ pointer: '/jwks_uri', message: 'must be null, because jwks has the keys' })
  if (jwksUri !== null && !isFetchable(jwksUri))
    faults.push({ pointer: '/jwks_uri', message: 'must be an https URL without user and fragment' })
  if (jwks === null && jwksUri === null && issuer.startsWith('spiffe:'))
    faults.push({
      pointer: '/jwks',
      message: 'must be given, or jwks_uri: a trust domain has no known address',
    })
  if (caPem !== null && !isCertificates(caPem))
    faults.push({ pointer: '/ca_pem', message: 'must be certificates in PEM' })
  for (const [place, text] of allowAddresses.entries())
    if (!parseAllowedAddress(text))
      faults.push({
        pointer: `/allow_addresses/${place}`,
        message: 'must be a network with a port, such as 10.0.0.0/8:443 or [fd00::/8]:443',
      })
  return faults
}

/** https; http only on this machine, which is accepted in development only when it is fetched. */
function isFetchable(text: string): boolean {
  if (!/^(https:\/\/|http:\/\/(localhost|127\.0\.0\.1|\[::1\])[:/])[\x21-\x7e]{1,500}$/.test(text))
    return false
  const url = URL.parse(text)
  return url !== null && url.username + url.password + url.hash === '' && !text.includes('#')
}

const isIssuer = (text: string): boolean => isFetchable(text) && text.length <= 208 && !text.includes('?')

function isCertificates(pem: string): boolean {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    return found.length > 0 && found.every(each => new X509Certificate(each).raw.length > 0)
  } catch {
    return false
  }
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
