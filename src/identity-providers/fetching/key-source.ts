import type { IdentityProvider } from '../identity-provider.ts'
import { FetchFault } from './fetch-fault.ts'

/** What a fetch needs of a provider. */
export type FetchedProvider = Pick<
  IdentityProvider,
  | 'id'
  | 'kind'
  | 'issuer'
  | 'jwks'
  | 'jwksUri'
  | 'caPem'
  | 'allowAddresses'
  | 'jwksMaxStaleSeconds'
  | 'fetchToken'
  | 'inCluster'
>

export const DISCOVERY = '/.well-known/openid-configuration'
/** Where an API server has its keys. What its discovery document says is a name within the cluster. */
export const KUBERNETES = '/openid/v1/jwks'

/** Identifies where the keys of a provider come from; undefined: they were given. */
export function keySourceOf({
  kind,
  issuer,
  jwks,
  jwksUri,
  caPem,
  allowAddresses,
  inCluster,
}: FetchedProvider): string | undefined {
  if (jwks !== null) return undefined
  return JSON.stringify([kind, issuer, jwksUri, caPem, allowAddresses, ...(inCluster ? ['in-cluster'] : [])])
}

/** Gets the JWK Set of an issuer. @throws {FetchFault} */
export async function fetchKeySet(
  { kind, issuer, jwksUri }: FetchedProvider,
  get: (url: string) => Promise<unknown>,
): Promise<unknown> {
  if (jwksUri !== null) return get(jwksUri)
  if (kind === 'kubernetes') return get(withoutSlash(issuer) + KUBERNETES)
  const found = await get(withoutSlash(issuer) + DISCOVERY)
  const { issuer: named, jwks_uri: uri } = (found ?? {}) as { issuer?: unknown; jwks_uri?: unknown }
  // OpenID Connect Discovery §4.3.
  if (named !== issuer) throw new FetchFault('document', 'The discovery document is of another issuer.')
  if (typeof uri !== 'string') throw new FetchFault('document', 'The discovery document has no jwks_uri.')
  return get(uri)
}

/** Whether it is of the server that an operator named: `jwks_uri`, or the issuer. Nothing else receives a fetch token. */
export function isConfiguredOrigin(provider: FetchedProvider, url: string): boolean {
  const origin = configuredOrigin(provider)
  return origin !== undefined && origin !== 'null' && URL.parse(url)?.origin === origin
}

/** Who receives the fetch token of a provider: an administrator who changes this must know the token. */
export const tokenReceiver = (
  provider: Pick<FetchedProvider, 'issuer' | 'jwksUri' | 'caPem' | 'allowAddresses'>,
): string => JSON.stringify([configuredOrigin(provider), provider.caPem, provider.allowAddresses])

const configuredOrigin = ({ issuer, jwksUri }: Pick<FetchedProvider, 'issuer' | 'jwksUri'>) =>
  URL.parse(jwksUri ?? issuer)?.origin

const withoutSlash = (text: string) => text.replace(/\/$/, '')
