/** A kind of verifier, and how long it uses a cached JWKS. */
export interface Verifier {
  name: string
  /** Between two successful fetches. */
  refreshSeconds: number
  /** Between two fetches after a failure. */
  afterFailureSeconds: number
  /** What makes it fetch at once. */
  remedy: string
}

/**
 * How the verifiers we know cache a JWK Set. None of them fetches again for an unknown kid. Sources: istio/istio
 * pilot/pkg/model/jwks_resolver.go, Envoy's jwt_authn, AWS's documentation of HTTP APIs.
 */
export const VERIFIERS: readonly Verifier[] = [
  {
    name: 'Envoy (remote_jwks)',
    refreshSeconds: 300,
    afterFailureSeconds: 600,
    remedy:
      'restart Envoy; in future, set a shorter cache_duration (300 s in deploy/envoy, 600 s by default)',
  },
  {
    name: 'Istio (istiod fetches)',
    refreshSeconds: 1200,
    afterFailureSeconds: 3600,
    remedy:
      'kubectl rollout restart deployment/istiod -n istio-system; in future, set a shorter PILOT_JWT_PUB_KEY_REFRESH_INTERVAL. While every fetch fails, it keeps the old keys for up to 7 days',
  },
  {
    name: 'AWS API Gateway (HTTP API)',
    refreshSeconds: 7200,
    afterFailureSeconds: 7200,
    remedy: 'no way is known',
  },
]
