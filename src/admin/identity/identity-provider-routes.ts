import { z } from 'zod'
import {
  type IdentityProvider,
  type ProviderSettings,
  providerVersion,
} from '../../identity-providers/identity-provider.ts'
import type { IdentityProviders, ProviderPatch } from '../../identity-providers/identity-providers.ts'
import { PROVIDER_KINDS } from '../../identity-providers/provider-kind.ts'
import { created, noContent, ok } from '../answer.ts'
import { EXAMPLE_JWKS, providerBody } from '../bodies/identity-body.ts'
import { page as pageOf } from '../bodies/wire.ts'
import type { Cursors } from '../cursor.ts'
import * as field from '../fields.ts'
import { pageBody, pageQuery, pageRequest } from '../paging.ts'
import { REVALIDATED } from '../preconditions.ts'
import { type AdminRoute, route } from '../route.ts'
import { providerSettings } from './identity-fields.ts'

const providerCreate = z
  .strictObject({
    kind: z
      .enum(PROVIDER_KINDS, `must be one of ${PROVIDER_KINDS.join(', ')}`)
      .describe('What issues the assertions.'),
    issuer: field.text(255).describe('Issuer: the exact `iss` of its assertions.'),
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
  jwks_max_stale_seconds,
} = providerSettings
const providerPatch = z
  .strictObject({
    name: name.unwrap().describe(name.description ?? ''),
    jwks: jwks.unwrap().describe(jwks.description ?? ''),
    jwks_uri: jwks_uri.unwrap().describe(jwks_uri.description ?? ''),
    ca_pem: ca_pem.unwrap().describe(ca_pem.description ?? ''),
    allow_addresses: allow_addresses.unwrap().describe(allow_addresses.description ?? ''),
    jwks_max_stale_seconds: jwks_max_stale_seconds
      .unwrap()
      .describe(jwks_max_stale_seconds.description ?? ''),
    audiences,
    algorithms: algorithms.unwrap().describe(algorithms.description ?? ''),
    bounds: bounds.unwrap().describe(bounds.description ?? ''),
  })
  .partial()
  .meta({ id: 'IdentityProviderPatch', description: 'Absent fields keep their value. Lists are replaced.' })

const LIST = '/identity-providers'

/** Outside issuers whose tokens are exchanged. */
export function identityProviderRoutes(providers: IdentityProviders, cursors: Cursors): AdminRoute[] {
  const exists = (params: Record<string, string>) => providers.get(params.id ?? '')
  const list = { path: LIST, tenant: undefined, filter: {} }
  return [
    route({
      operation: 'createIdentityProvider',
      summary: 'Create an identity provider',
      details:
        'Without `jwks` the keys are fetched in the background. A provider is chosen by the issuer and the audience of an assertion, so providers of the same issuer need disjoint audiences. A key that two providers have stops both.',
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
        const settings = { ...toSettings(rest), kind, issuer } as ProviderSettings
        const made = await providers.create(actor, settings)
        return created(`${LIST}/${made.id}`, toWire(made), providerVersion(made))
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
      ...REVALIDATED,
      handle: async ({ params }) => answer(await providers.get(params.id ?? '')),
    }),
    route({
      operation: 'updateIdentityProvider',
      summary: 'Update an identity provider',
      details:
        'The kind and the issuer cannot be changed, because they say what the rules of credentials mean.',
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

const answer = (provider: IdentityProvider) => ok(toWire(provider), providerVersion(provider))

type WireBounds = z.output<typeof bounds>
const toBounds = (given: WireBounds) => given.map(({ tenant: tenantId, ...rest }) => ({ tenantId, ...rest }))

/** The settings among these members. */
function toSettings(given: z.output<typeof providerPatch>): ProviderPatch {
  const { name, jwks, audiences, algorithms, bounds: wireBounds } = given
  return field.withoutUndefined({
    name,
    jwks,
    jwksUri: given.jwks_uri,
    caPem: given.ca_pem,
    allowAddresses: given.allow_addresses,
    jwksMaxStaleSeconds: given.jwks_max_stale_seconds,
    audiences,
    algorithms,
    bounds: wireBounds && toBounds(wireBounds),
  })
}

const toWire = ({
  id,
  name,
  kind,
  issuer,
  jwks,
  audiences,
  algorithms,
  bounds,
  ...rest
}: IdentityProvider) => ({
  id,
  name,
  kind,
  issuer,
  jwks,
  jwks_uri: rest.jwksUri,
  ca_pem: rest.caPem,
  allow_addresses: rest.allowAddresses,
  jwks_max_stale_seconds: rest.jwksMaxStaleSeconds,
  audiences,
  algorithms,
  bounds: bounds.map(({ tenantId: tenant, subject, claims }) => ({ tenant, subject, claims })),
  created_by: rest.createdBy,
  created_at: rest.createdAt,
  updated_at: rest.updatedAt,
})
