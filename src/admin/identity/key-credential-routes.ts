import { z } from 'zod'
import type { ApiKeys } from '../../api-keys/api-keys.ts'
import { versionOf } from '../../database/version.ts'
import type { KeyCredentials } from '../../identity-providers/key-credentials.ts'
import type { Tenants } from '../../tenants/tenants.ts'
import { created, noContent, ok } from '../answer.ts'
import { credentialBody, credentialsBody, EXAMPLE_JWKS, workloadKeyBody } from '../bodies/identity-body.ts'
import { settings, toPatch } from '../key-routes.ts'
import { type AdminRoute, route } from '../route.ts'
import { credentialToWire, newCredential, toCredentialSettings } from './identity-fields.ts'

const workloadKey = z
  .strictObject({
    ...z.object(settings).partial().shape,
    credential: newCredential
      .nullable()
      .default(null)
      .describe('The first credential of the key. null: none, so nothing is accepted for the key yet.'),
  })
  .meta({ id: 'NewWorkloadKey', description: 'Settings of a new key without a secret, with its credential.' })

const CONFLICTS = ['credential_outside_bounds', 'identity_provider_not_genuine']

/** Credentials of keys that are not secrets: rules for assertions of identity providers, and public keys. */
export function keyCredentialRoutes(
  credentials: KeyCredentials,
  keys: ApiKeys,
  tenants: Tenants,
): AdminRoute[] {
  const target = { what: 'key', param: 'id', tenantOf: async (id: string) => (await keys.get(id)).tenantId }
  const tenant = {
    what: 'tenant',
    param: 'tenant',
    tenantOf: async (id: string) => (await tenants.get(id)).id,
  }
  return [
    route({
      operation: 'createWorkloadKey',
      summary: 'Create a key without a secret',
      details:
        'The holder of the key authenticates with a credential only: a public key, or a token of an identity provider. In everything else the key is like any other.',
      answers: { 201: workloadKeyBody },
      conflicts: ['too_many_keys', 'too_many_credentials', ...CONFLICTS],
      example: { body: { name: 'trainer', credential: { type: 'public_key', jwks: EXAMPLE_JWKS } } },
      method: 'post',
      path: '/tenants/:tenant/workload-keys',
      right: 'keys:write',
      target: tenant,
      body: workloadKey,
      handle: async ({ actor, admin, params, body }) => {
        const { credential, ...given } = body
        const limits = { withinBounds: admin.tenantId !== null }
        const sent = credential && toCredentialSettings(credential)
        const added = await credentials.createKey(actor, params.tenant ?? '', toPatch(given), sent, limits)
        const shown = { key: added.keyId, credential: added.credential && credentialToWire(added.credential) }
        return { status: 201, location: `/keys/${added.keyId}`, body: shown }
      },
    }),
    route({
      operation: 'createKeyCredential',
      summary: 'Add a credential to a key',
      details:
        'A tenant-admin can add public keys, and federated credentials within the bounds that an identity provider has for the tenant. A key has at most 20 credentials.',
      answers: { 201: credentialBody },
      conflicts: ['key_revoked', 'too_many_credentials', ...CONFLICTS],
      example: { body: { type: 'public_key', jwks: EXAMPLE_JWKS } },
      method: 'post',
      path: '/keys/:id/credentials',
      right: 'keys:write',
      target,
      body: newCredential,
      handle: async ({ actor, admin, params, body }) => {
        const limits = { withinBounds: admin.tenantId !== null }
        const added = await credentials.create(actor, params.id ?? '', toCredentialSettings(body), limits)
        const shown = credentialToWire(added)
        return created(`/keys/${added.keyId}/credentials`, shown, versionOf(shown))
      },
    }),
    route({
      operation: 'listKeyCredentials',
      summary: 'List credentials of a key',
      answers: { 200: credentialsBody },
      method: 'get',
      path: '/keys/:id/credentials',
      right: 'keys:read',
      target,
      handle: async ({ params }) => {
        const all = await credentials.list(params.id ?? '')
        return ok({ data: all.map(credentialToWire), next_cursor: null })
      },
    }),
    route({
      operation: 'deleteKeyCredential',
      summary: 'Delete a credential of a key',
      details: 'It is not accepted any more. Other credentials and secrets of the key stay valid.',
      answers: { 204: null },
      method: 'delete',
      path: '/keys/:id/credentials/:credential',
      right: 'keys:write',
      target,
      handle: async ({ actor, params }) => {
        await credentials.delete(actor, params.id ?? '', params.credential ?? '')
        return noContent
      },
    }),
  ]
}
