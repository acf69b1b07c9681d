import { z } from 'zod'
import { type ApiKey, keyVersion } from '../api-keys/api-key.ts'
import type { ApiKeys, IssuedSecret } from '../api-keys/api-keys.ts'
import { LOOKUP_SCHEME } from '../api-keys/imported/lookup-secret.ts'
import { KEY_SETTINGS, type KeyPatch } from '../api-keys/key-settings.ts'
import { keyState, keyTerm, secretState, secretTerm } from '../api-keys/key-state.ts'
import type { SecretConfirmations } from '../api-keys/secret-confirmations.ts'
import { allLimits } from '../tenants/limits.ts'
import type { EffectiveRights } from '../tenants/rights.ts'
import { fromWire, inSnakeCase, settingsOf, type WirePatch } from '../tenants/setting.ts'
import type { Tenants } from '../tenants/tenants.ts'
import type { Admin } from './admin-auth.ts'
import { created, ok } from './answer.ts'
import { issuedKeyBody, keyBody } from './bodies/key-body.ts'
import { page as pageOf } from './bodies/wire.ts'
import type { Cursors } from './cursor.ts'
import * as field from './fields.ts'
import { ForeignTenant } from './foreign-tenant.ts'
import type { ShownRevocations } from './gateways/shown-revocations.ts'
import { keyActions } from './key-actions.ts'
import { keyFilter, keyQueries, keyQuery, tenantKeyQuery } from './key-queries.ts'
import { pageBody, pageRequest } from './paging.ts'
import { VERSIONED } from './preconditions.ts'
import { type AdminRoute, route } from './route.ts'
import { sentFields } from './setting-fields.ts'

export const settings = sentFields(KEY_SETTINGS)

const keyCreate = z
  .strictObject(settings)
  .partial()
  .meta({ id: 'NewKey', description: 'Settings of a new key.' })
const keyPatch = field
  .mergePatch({
    ...settings,
    labels: field.labelsPatch.describe('Labels to set. A label with the value null is removed.'),
    revoke_tokens: field.revokeTokens,
  })
  .meta({
    id: 'KeyPatch',
    description:
      'Absent fields keep their value. null sets a field to its default; for `expires_at` it means never.',
  })
type Present = (keys: readonly ApiKey[]) => Promise<(key: ApiKey) => object>

export function keyRoutes(
  keys: ApiKeys,
  confirmations: SecretConfirmations,
  tenants: Tenants,
  revocations: ShownRevocations,
  cursors: Cursors,
): AdminRoute[] {
  const present: Present = async shown => {
    const { rights, now } = await keys.effective(shown)
    return key => toWire(key, now, rights.get(key.id))
  }
  const one = async (key: ApiKey) => (await present([key]))(key)
  const answer = async (key: ApiKey) => ok(await one(key), keyVersion(key))
  const answerEnded = async (admin: Admin, key: ApiKey) => {
    const ended = await revocations.ofEnded(admin, { key: key.id })
    return ok({ ...(await one(key)), ...ended }, keyVersion(key))
  }
  const issued = async ({ key, secretId, secret }: IssuedSecret) => {
    // The only response with the secret; every response of this listener has no-store.
    return created(`/keys/${key.id}`, { ...(await one(key)), secret_id: secretId, secret }, keyVersion(key))
  }
  const target = { what: 'key', param: 'id', tenantOf: async (id: string) => (await keys.get(id)).tenantId }
  const tenant = {
    what: 'tenant',
    param: 'tenant',
    tenantOf: async (id: string) => (await tenants.get(id)).id,
  }
  const page = async (path: string, tenant: string | undefined, query: z.output<typeof keyQuery>) => {
    const filter = keyFilter(query, tenant)
    const list = { path, tenant, filter }
    const found = await keys.list(filter, pageRequest(cursors, list, query))
    return ok(pageBody(cursors, list, found, await present(found.items)))
  }
  return [
    route({
      operation: 'createKey',
      summary: 'Create a key',
      details:
        'By default a key inherits the tier, models, adapters and audiences of its tenant, has the scope `inference`, and expires after the longest lifetime that is allowed. The response contains the secret, once. The policy limits the number of live keys of a tenant (`max_live_keys_per_tenant`).',
      answers: { 201: issuedKeyBody },
      conflicts: ['too_many_keys'],
      example: { body: { name: 'ci', labels: { team: 'ml' } } },
      method: 'post',
      path: '/tenants/:tenant/keys',
      right: 'keys:write',
      issuesSecret: true,
      tellsVersion: true,
      target: tenant,
      body: keyCreate,
      handle: async ({ actor, params, body }) =>
        issued(await keys.create(actor, params.tenant ?? '', toPatch(body))),
    }),
    route({
      operation: 'listTenantKeys',
      summary: 'List keys of a tenant',
      answers: { 200: pageOf(keyBody) },
      example: { query: { label: 'team=ml' } },
      method: 'get',
      path: '/tenants/:tenant/keys',
      right: 'keys:read',
      target: tenant,
      query: tenantKeyQuery,
      handle: ({ params, query }) => page('/tenants/:tenant/keys', params.tenant, query),
    }),
    route({
      operation: 'listKeys',
      summary: 'List keys',
      answers: { 200: pageOf(keyBody) },
      notFound: true,
      example: { query: { tenant: 'acme', expires_before: '2099-01-01T00:00:00Z' } },
      method: 'get',
      path: '/keys',
      right: 'keys:read',
      target: 'scoped by the handler',
      query: keyQuery,
      handle: ({ admin, query }) => {
        if (admin.tenantId !== null && query.tenant !== undefined && query.tenant !== admin.tenantId)
          throw new ForeignTenant('tenant', query.tenant)
        return page('/keys', admin.tenantId ?? query.tenant, query)
      },
    }),
    route({
      operation: 'getKey',
      summary: 'Get a key',
      answers: { 200: keyBody },
      method: 'get',
      path: '/keys/:id',
      right: 'keys:read',
      target,
      // No If-None-Match: the response contains values that the version does not cover.
      ...VERSIONED,
      handle: async ({ params }) => answer(await keys.get(params.id ?? '')),
    }),
    route({
      operation: 'updateKey',
      summary: 'Update a key',
      details: 'A tenant-admin can only restrict the rights of a key and shorten its lifetime.',
      answers: { 200: keyBody },
      conflicts: ['key_revoked', 'too_many_keys'],
      example: { body: { name: 'nightly', token_ttl_seconds: 120 } },
      method: 'patch',
      path: '/keys/:id',
      right: 'keys:write',
      target,
      ...VERSIONED,
      body: keyPatch,
      handle: async ({ actor, admin, params, body: { revoke_tokens: wanted, ...given } }) => {
        const withTokens = wanted === true
        const options = { restrictOnly: admin.tenantId !== null, withTokens }
        const key = await keys.update(actor, params.id ?? '', toPatch(given), options)
        return withTokens ? answerEnded(admin, key) : answer(key)
      },
    }),
    ...keyQueries(keys, target, one),
    ...keyActions(keys, confirmations, { answer, answerEnded, issued, target }),
  ]
}

export const toPatch = (given: WirePatch<typeof KEY_SETTINGS>): KeyPatch => fromWire(KEY_SETTINGS, given)

function toWire(key: ApiKey, now: number, rights: EffectiveRights | undefined) {
  const term = keyTerm(key)
  const { name, description, labels, limits, ...rest } = inSnakeCase(settingsOf(KEY_SETTINGS, key))
  return {
    id: key.id,
    tenant: key.tenantId,
    name,
    description,
    labels,
    state: keyState(term, now),
    ...rest,
    limits: allLimits(limits),
    disabled_at: key.disabledAt,
    revoked_at: key.revokedAt,
    revoked_reason: key.revokedReason,
    created_by: key.createdBy,
    created_at: key.createdAt,
    updated_at: key.updatedAt,
    secrets: key.secrets.map(secret => ({
      id: secret.id,
      state: secretState(secretTerm(secret), term, now),
      created_by: secret.createdBy,
      created_at: secret.createdAt,
      ends_at: secret.endsAt,
      last_used_at: secret.lastUsedAt,
      confirm_by: secret.confirmBy,
      imported: secret.imported && {
        client_id: secret.imported.clientId,
        scheme: secret.imported.scheme === 'bcrypt' ? ('bcrypt' as const) : ('sha256' as const),
        lookup: secret.imported.scheme === LOOKUP_SCHEME,
      },
    })),
    effective: rights && effectiveToWire(rights),
  }
}

export const effectiveToWire = ({ limits, ...rights }: EffectiveRights) => ({
  ...inSnakeCase(rights),
  limits: { tenant: allLimits(limits.tenant), key: allLimits(limits.key) },
})
