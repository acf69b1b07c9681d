import { parseAllowedAddress } from './fetch-address.ts'
import { type FetchMeans, fetchDocument } from './fetch-document.ts'
import type { FetchTokens } from './fetch-tokens.ts'
import { type FetchedProvider, fetchKeySet, isConfiguredOrigin } from './key-source.ts'
import { fetchOwnCluster, type OwnCluster } from './own-cluster.ts'

export interface KeyRequestOptions {
  means: FetchMeans
  tokens: FetchTokens
  cluster: OwnCluster
}

/** Gets the JWK Set of a provider from where its settings say. @throws {FetchFault} */
export async function requestKeys(
  provider: FetchedProvider,
  { means, tokens, cluster }: KeyRequestOptions,
): Promise<unknown> {
  const { id, issuer, caPem, allowAddresses, fetchToken, inCluster } = provider
  if (inCluster) return fetchOwnCluster(cluster, issuer, means)
  const allowed = allowAddresses.flatMap(text => parseAllowedAddress(text) ?? [])
  const secret = fetchToken ? tokens.decrypt(id, fetchToken) : undefined
  return fetchKeySet(provider, url => {
    const token = isConfiguredOrigin(provider, url) ? secret : undefined
    return fetchDocument({ url, caPem, allowed, token }, means)
  })
}
