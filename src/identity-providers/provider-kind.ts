/** What issues the assertions. It decides what a rule must name, and which fields an assertion may have. */
export const PROVIDER_KINDS = ['kubernetes', 'github-actions', 'gitlab-ci', 'spiffe', 'oidc'] as const
export type ProviderKind = (typeof PROVIDER_KINDS)[number]

/** Asymmetric signature algorithms of RFC 7518 and RFC 8037. A list of HMAC algorithms would make a public key a secret. */
export const ASSERTION_ALGS = [
  'ES256',
  'ES384',
  'ES512',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'EdDSA',
] as const
export type AssertionAlg = (typeof ASSERTION_ALGS)[number]

/** Issuers of CI jobs call their tokens ID tokens; all other kinds that are sent as `id_token` are of people. */
export const sendsIdTokens = (kind: ProviderKind): boolean =>
  kind === 'github-actions' || kind === 'gitlab-ci'
