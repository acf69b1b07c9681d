import { z } from 'zod'
import { FETCH_FAULTS } from '../../identity-providers/fetching/fetch-fault.ts'
import { SINGLE_USES } from '../../identity-providers/key-credential.ts'
import { ASSERTION_ALGS, PROVIDER_KINDS } from '../../identity-providers/provider-kind.ts'
import { count, instant, keyId, tenantId } from './wire.ts'

export const ABOUT_ISSUER =
  'Issuer: the exact `iss` of its assertions, or `spiffe://<trust domain>` for SPIFFE identities without `iss`.'

export const providerId = z.string().regex(/^idp_[0-9A-Za-z]{16}$/)
export const credentialId = z.string().regex(/^crd_[0-9A-Za-z]{16}$/)

/** RFC 7517, Appendix A.1. */
export const EXAMPLE_JWKS = {
  keys: [
    {
      kty: 'EC',
      crv: 'P-256',
      x: 'MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4',
      y: '4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM',
      use: 'sig',
      kid: '1',
    },
  ],
}

const jwks = z.record(z.string(), z.unknown())
const claims = z.record(z.string(), z.union([z.string(), z.array(z.string())]))
const subject = z.string().nullable()
const creator = z.string().nullable()

const fetchHealth = z
  .strictObject({
    last_success_at: instant
      .nullable()
      .describe('Time of the last fetch that succeeded, also before this process started; null: none.'),
    failures: count.describe('Number of fetches that failed in this process since its last successful one.'),
    last_error: z
      .strictObject({
        kind: z.enum(FETCH_FAULTS).describe('Kind of the failure.'),
        message: z.string().describe('The failure, for an operator.'),
        at: instant.describe('Time of the failure.'),
      })
      .nullable()
      .describe(
        'The last fetch that failed in this process, even if a later one succeeded; null: none failed.',
      ),
    next_at: instant.nullable().describe('Time of the next fetch; null: it is due, or running.'),
  })
  .nullable()
  .meta({ id: 'FetchHealth', description: 'Fetches of the keys of an issuer by one replica.' })

export const providerBody = z
  .strictObject({
    id: providerId.describe('Id of the provider.'),
    name: z.string().describe('Display name.'),
    kind: z.enum(PROVIDER_KINDS).describe('What issues the assertions.'),
    issuer: z.string().describe(ABOUT_ISSUER),
    jwks: jwks.nullable().describe('Public keys of the issuer, as a JWK Set; null: they are fetched.'),
    jwks_uri: z.string().nullable().describe('URL of the JWK Set; null: the default address at the issuer.'),
    ca_pem: z.string().nullable().describe('Certificates of authorities, as PEM; null: those of the system.'),
    allow_addresses: z
      .array(z.string())
      .describe(
        'Networks, each with a port, from which keys may be fetched although their addresses are not public.',
      ),
    has_fetch_token: z.boolean().describe('Whether a bearer token for fetching the keys is set.'),
    in_cluster: z.boolean().describe('Whether the keys are those of the cluster that Mintmark runs in.'),
    jwks_max_stale_seconds: z.int().describe('How long fetched keys are used while fetches fail.'),
    audiences: z.array(z.string()).describe('Accepted audiences.'),
    algorithms: z.array(z.enum(ASSERTION_ALGS)).describe('Accepted signature algorithms.'),
    bounds: z
      .array(
        z.strictObject({
          tenant: tenantId.describe('Tenant that the identities are reserved for.'),
          subject: subject.describe('Subjects that its credentials may name; null: any.'),
          claims: claims.describe('Claims that its credentials must name, with the values they may have.'),
        }),
      )
      .describe('Identities that are reserved for tenants.'),
    fetch: fetchHealth.describe(
      'How the replica that answers fetches the keys. null: it fetches none, because `jwks` has them or it does not know the provider yet.',
    ),
    created_by: creator.describe('`root`, or the id of the admin token that created it.'),
    created_at: instant.describe('Time of creation.'),
    updated_at: instant.describe('Time of the last change.'),
  })
  .meta({
    id: 'IdentityProvider',
    description: 'An identity provider whose tokens are exchanged for tokens of a tenant.',
    examples: [
      {
        id: 'idp_3Fh7Kd9Qx2Lm5Zt8',
        name: 'production cluster',
        kind: 'kubernetes',
        issuer: 'https://kubernetes.default.svc.cluster.local',
        jwks: EXAMPLE_JWKS,
        jwks_uri: null,
        ca_pem: null,
        allow_addresses: [],
        has_fetch_token: false,
        in_cluster: false,
        jwks_max_stale_seconds: 86_400,
        audiences: ['https://tokens.example.com'],
        algorithms: ['RS256'],
        bounds: [{ tenant: 'acme', subject: 'system:serviceaccount:acme:*', claims: {} }],
        fetch: null,
        created_by: 'root',
        created_at: '2026-11-24T09:00:00.000Z',
        updated_at: '2026-11-24T09:00:00.000Z',
      },
    ],
  })

const common = {
  id: credentialId.describe('Id of the credential.'),
  key: keyId.describe('Key that the credential is for.'),
  created_by: creator.describe('`root`, or the id of the admin token that created it.'),
  created_at: instant.describe('Time of creation.'),
  last_used_at: instant
    .nullable()
    .describe('Time of the last exchange, updated every few seconds; null: never used.'),
}

export const credentialBody = z
  .union([
    z.strictObject({
      ...common,
      type: z.literal('federated').describe('Assertions of an identity provider.'),
      provider: providerId.describe('Id of the identity provider.'),
      subject: subject.describe('Accepted subjects; null: any.'),
      claims: claims.describe('Accepted values of claims.'),
      allow_untrusted_events: z.boolean().describe('Whether jobs that a stranger can cause are accepted.'),
    }),
    z.strictObject({
      ...common,
      type: z.literal('public_key').describe('Client assertions (private_key_jwt).'),
      jwks: jwks.describe('Public keys of the client, as a JWK Set.'),
      single_use: z.enum(SINGLE_USES).describe('Where the use of an assertion is remembered.'),
    }),
  ])
  .meta({
    id: 'KeyCredential',
    description: 'How the holder of a key proves itself without a secret.',
    examples: [
      {
        id: 'crd_8Wd2Nc6Ry4Bk9Qv1',
        key: 'key_7Hq2kd9XwP3mZt5B',
        type: 'federated',
        provider: 'idp_3Fh7Kd9Qx2Lm5Zt8',
        subject: 'system:serviceaccount:acme:trainer',
        claims: {},
        allow_untrusted_events: false,
        created_by: 'root',
        created_at: '2026-11-24T09:00:00.000Z',
        last_used_at: null,
      },
    ],
  })

export const credentialsBody = z
  .strictObject({
    data: z.array(credentialBody).describe('All credentials of the key, newest first.'),
    next_cursor: z.null().describe('Always null: this list has one page.'),
  })
  .meta({ id: 'KeyCredentials', description: 'The credentials of a key.' })

export const workloadKeyBody = z
  .strictObject({
    key: keyId.describe('Id of the new key, which has no secret.'),
    credential: credentialBody.nullable().describe('Its credential; null: it was created without one.'),
  })
  .meta({ id: 'WorkloadKey', description: 'A new key without a secret, and its credential, if any.' })
