import { z } from 'zod'
import type { FetchHealth } from '../../identity-providers/fetching/fetched-keys.ts'
import { type IdentityProvider, providerVersion } from '../../identity-providers/identity-provider.ts'
import type {
  IdentityProviders,
  ProviderInput,
  ProviderPatch,
} from '../../identity-providers/identity-providers.ts'
import { PROVIDER_KINDS } from '../../identity-providers/provider-kind.ts'
import { Secret } from '../../system/secret.ts'
import { created, noContent, ok } from '../answer.ts'
import { ABOUT_ISSUER, EXAMPLE_JWKS, providerBody } from '../bodies/identity-body.ts'
import { page as pageOf } from '../bodies/wire.ts'
import type { Cursors } from '../cursor.ts'
import * as field from '../fields.ts'
import { pageBody, pageQuery, pageRequest } from '../paging.ts'
import { REVALIDATED, VERSIONED } from '../preconditions.ts'
import { type AdminRoute, route } from '../route.ts'
import { providerSettings } from './identity-fields.ts'

const providerCreate = z
  .strictObject({
    kind: z
      .enum(PROVIDER_KINDS, `must be one of ${PROVIDER_KINDS.join(', ')}`)
      .describe('What issues the assertions.'),
    issuer: field.text(255).describe(ABOUT_ISSUER),
    ...providerSettings,
  })
  .meta({ id: 'NewIdentityProvider', description: 'Settings of a new identity provider.' })

const {
  name,
  audiences,
  algorithms,
  bounds,
  jwks,
  jwks_uri,
  ca_pem,
  allow_addresses,
  fetch_token,
  in_cluster,
  jwks_max_stale_seconds,
} = providerSettings
const DEFAULTED = {
  name,
  algorithms,
  bounds,
  jwks,
  jwks_uri,
  ca_pem,
  allow_addresses,
  fetch_token,
  in_cluster,
  jwks_max_stale_seconds,
}

/** RFC 7396: null resets a field to its default. */
const resettable = <T extends z.ZodType>(setting: z.ZodDefault<T>) =>
  setting
    .unwrap()
    .nullable()
    .describe(setting.description ?? '')

const providerPatch = z
  .strictObject({
    name: resettable(name),
    jwks: resettable(jwks),
    jwks_uri: resettable(jwks_uri),
    ca_pem: resettable(ca_pem),
    allow_addresses: resettable(allow_addresses),
    fetch_token: resettable(fetch_token),
    in_cluster: resettable(in_cluster),
    jwks_max_stale_seconds: resettable(jwks_max_stale_seconds),
    audiences,
    algorithms: resettable(algorithms),
    bounds: resettable(bounds),
  })
  .partial()
  .meta({
    id: 'IdentityProviderPatch',
    description: 'Absent fields keep their value, null resets one to its default. Lists are replaced.',
  })

const LIST = '/identity-providers'

/** What this process knows of the fetches for each provider. */
export interface FetchHealths {
  healthOf(providerId: string): FetchHealth | undefined
}

/** Identity providers whose tokens are exchanged. */
export function identityProviderRoutes(
  providers: IdentityProviders,
  fetched: FetchHealths,
  cursors: Cursors,
): AdminRoute[] {
  const toWire = (provider: IdentityProvider) => wireOf(provider, fetched.healthOf(provider.id))
  const answer = (provider: IdentityProvider) => ok(toWire(provider), providerVersion(provider))
  const exists = (params: Record<string, string>) => providers.get(params.id ?? '')
  const list = { path: LIST, tenant: undefined, filter: {} }
  return [
    route({
      operation: 'createIdentityProvider',
      summary: 'Create an identity provider',
      details:
        'Without `jwks` the keys are fetched in the background. Mintmark finds the provider of an assertion by its issuer and audience, so providers of the same issuer need disjoint audiences. If two providers have a public key in common, the tokens of both are rejected.',
      answers: { 201: providerBody },
      conflicts: ['identity_provider_exists', 'too_many_identity_providers'],
      example: {
        body: {
          name: 'production cluster',
          kind: 'kubernetes',
          issuer: 'https://kubernetes.default.svc.cluster.local',
          audiences: ['https://tokens.example.com'],
          jwks: EXAMPLE_JWKS,
          bounds: [{ tenant: 'acme', subject: 'system:serviceaccount:acme:*' }],
        },
      },
      method: 'post',
      path: LIST,
      right: 'identity-providers:write',
      tellsVersion: true,
      body: providerCreate,
      handle: async ({ actor, body }) => {
        const { kind, issuer, ...rest } = body
        // The schema has a default for each.
        const settings = { ...toSettings(rest), kind, issuer } as ProviderInput
        const provider = await providers.create(actor, settings)
        return created(`${LIST}/${provider.id}`, toWire(provider), providerVersion(provider))
      },
    }),
    route({
      operation: 'listIdentityProviders',
      summary: 'List identity providers',
      answers: { 200: pageOf(providerBody) },
      method: 'get',
      path: LIST,
      right: 'identity-providers:read',
      query: pageQuery,
      handle: async ({ query }) =>
        ok(pageBody(cursors, list, await providers.list(pageRequest(cursors, list, query)), toWire)),
    }),
    route({
      operation: 'getIdentityProvider',
      summary: 'Get an identity provider',
      answers: { 200: providerBody },
      method: 'get',
      path: `${LIST}/:id`,
      right: 'identity-providers:read',
      exists,
      // The version does not cover the health of fetches.
      ...VERSIONED,
      handle: async ({ params }) => answer(await providers.get(params.id ?? '')),
    }),
    route({
      operation: 'updateIdentityProvider',
      summary: 'Update an identity provider',
      details:
        'The kind and the issuer cannot be changed, because the rules of existing credentials would then mean other identities.',
      answers: { 200: providerBody },
      conflicts: ['identity_provider_exists', 'credential_outside_bounds', 'identity_provider_not_genuine'],
      example: { body: { name: 'production' } },
      method: 'patch',
      path: `${LIST}/:id`,
      right: 'identity-providers:write',
      exists,
      ...REVALIDATED,
      body: providerPatch,
      handle: async ({ actor, params, body }) => {
        return answer(await providers.update(actor, params.id ?? '', toSettings(body)))
      },
    }),
    route({
      operation: 'deleteIdentityProvider',
      summary: 'Delete an identity provider',
      answers: { 204: null },
      conflicts: ['identity_provider_in_use'],
      method: 'delete',
      path: `${LIST}/:id`,
      right: 'identity-providers:write',
      exists,
      preconditions: ['If-Match'],
      handle: async ({ actor, params }) => {
        await providers.delete(actor, params.id ?? '')
        return noContent
      },
    }),
  ]
}

type WireBounds = z.output<typeof bounds>
const toBounds = (given: WireBounds) => given.map(({ tenant: tenantId, ...rest }) => ({ tenantId, ...rest }))

/** The settings among these members; null is the default. */
function toSettings(given: z.output<typeof providerPatch>): ProviderPatch {
  const set: { [Name in keyof typeof DEFAULTED]?: z.output<(typeof DEFAULTED)[Name]> } = Object.fromEntries(
    Object.entries(DEFAULTED).flatMap(([named, schema]) => {
      const value = given[named as keyof typeof DEFAULTED]
      return value === undefined ? [] : [[named, value ?? schema.parse(undefined)]]
    }),
  )
  return field.withoutUndefined({
    name: set.name,
    jwks: set.jwks,
    jwksUri: set.jwks_uri,
    caPem: set.ca_pem,
    allowAddresses: set.allow_addresses,
    fetchToken: typeof set.fetch_token === 'string' ? new Secret(set.fetch_token) : set.fetch_token,
    inCluster: set.in_cluster,
    jwksMaxStaleSeconds: set.jwks_max_stale_seconds,
    audiences: given.audiences,
    algorithms: set.algorithms,
    bounds: set.bounds && toBounds(set.bounds),
  })
}

function fetchToWire({ lastSuccessAt, failures, lastFault, nextAt }: FetchHealth) {
  return {
    last_success_at: lastSuccessAt === undefined ? null : new Date(lastSuccessAt),
    failures,
    last_error: lastFault ? { ...lastFault, at: new Date(lastFault.at) } : null,
    next_at: nextAt === undefined ? null : new Date(nextAt),
  }
}

function wireOf(provider: IdentityProvider, health: FetchHealth | undefined) {
  const { id, name, kind, issuer, jwks, audiences, algorithms, bounds } = provider
  return {
    id,
    name,
    kind,
    issuer,
    jwks,
    jwks_uri: provider.jwksUri,
    ca_pem: provider.caPem,
    allow_addresses: provider.allowAddresses,
    has_fetch_token: Boolean(provider.fetchToken),
    in_cluster: provider.inCluster ?? false,
    jwks_max_stale_seconds: provider.jwksMaxStaleSeconds,
    audiences,
    algorithms,
    bounds: bounds.map(({ tenantId: tenant, subject, claims }) => ({ tenant, subject, claims })),
    fetch: health ? fetchToWire(health) : null,
    created_by: provider.createdBy,
    created_at: provider.createdAt,
    updated_at: provider.updatedAt,
  }
}
