import { z } from 'zod'
import { allLimits } from '../tenants/limits.ts'
import { fromWire, inSnakeCase, settingsOf, type WirePatch } from '../tenants/setting.ts'
import { type Tenant, tenantState, tenantVersion } from '../tenants/tenant.ts'
import { TENANT_SETTINGS, type TenantPatch } from '../tenants/tenant-settings.ts'
import type { Tenants } from '../tenants/tenants.ts'
import type { Admin } from './admin-auth.ts'
import { created, noContent, ok } from './answer.ts'
import { tenantBody, tenantDryRunBody } from './bodies/tenant-body.ts'
import { page } from './bodies/wire.ts'
import type { Cursors } from './cursor.ts'
import * as field from './fields.ts'
import type { ShownRevocations } from './gateways/shown-revocations.ts'
import { pageBody, pageQuery, pageRequest } from './paging.ts'
import { REVALIDATED, VERSIONED } from './preconditions.ts'
import { type AdminRoute, route } from './route.ts'
import { sentFields } from './setting-fields.ts'

const settings = sentFields(TENANT_SETTINGS)

const tenantCreate = z
  .strictObject({
    id: field.tenantId.describe('Id of the tenant. It cannot be changed and is never reused.'),
    ...z.object(settings).partial().shape,
  })
  .meta({ id: 'NewTenant', description: 'Settings of a new tenant.' })
const tenantPatch = field
  .mergePatch({
    ...settings,
    labels: field.labelsPatch.describe('Labels to set. A label with the value null is removed.'),
    revoke_tokens: field.revokeTokens,
  })
  .meta({
    id: 'TenantPatch',
    description: 'Absent fields keep their value. null sets a field to its default.',
  })
const deletion = z.strictObject({
  cascade: field.queryFlag(
    'Delete the tenant although it has live keys (neither expired nor revoked): they stop working at once. Without `cascade` a tenant with live keys gets 409.',
  ),
  dry_run: field.queryFlag('Only count what would be deleted.'),
})

const LIST = '/tenants'

export function tenantRoutes(
  tenants: Tenants,
  revocations: ShownRevocations,
  cursors: Cursors,
): AdminRoute[] {
  const answer = (tenant: Tenant) => ok(toWire(tenant), tenantVersion(tenant))
  const answerEnded = async (admin: Admin, tenant: Tenant) => {
    const ended = await revocations.ofEnded(admin, { tenant: tenant.id })
    return ok({ ...toWire(tenant), ...ended }, tenantVersion(tenant))
  }
  const exists = (params: Record<string, string>) => tenants.get(params.id ?? '')
  return [
    route({
      operation: 'createTenant',
      summary: 'Create a tenant',
      details:
        'Defaults: every registered base model, no adapter, the scope `inference`, the tier `standard`.',
      answers: { 201: tenantBody },
      conflicts: ['tenant_id_taken'],
      example: {
        body: {
          id: 'acme',
          name: 'Acme',
          tier: 'premium',
          allowed_tiers: ['premium', 'batch'],
          adapters: ['acme-sql'],
        },
      },
      method: 'post',
      path: LIST,
      right: 'tenants:write',
      tellsVersion: true,
      body: tenantCreate,
      handle: async ({ actor, body: { id, ...given } }) => {
        const tenant = await tenants.create(actor, id, toPatch(given))
        return created(`${LIST}/${tenant.id}`, toWire(tenant), tenantVersion(tenant))
      },
    }),
    route({
      operation: 'listTenants',
      summary: 'List tenants',
      answers: { 200: page(tenantBody) },
      method: 'get',
      path: LIST,
      right: 'tenants:read',
      query: pageQuery,
      target: 'scoped by the handler',
      handle: async ({ admin, query }) => {
        const list = { path: LIST, tenant: admin.tenantId }
        const found = await tenants.list(pageRequest(cursors, list, query), admin.tenantId)
        return ok(pageBody(cursors, list, found, toWire))
      },
    }),
    route({
      operation: 'getTenant',
      summary: 'Get a tenant',
      answers: { 200: tenantBody },
      method: 'get',
      path: '/tenants/:id',
      right: 'tenants:read',
      target: { what: 'tenant', param: 'id', tenantOf: async id => (await tenants.get(id)).id },
      ...REVALIDATED,
      handle: async ({ params }) => answer(await tenants.get(params.id ?? '')),
    }),
    route({
      operation: 'updateTenant',
      summary: 'Update a tenant',
      details:
        'The change applies to all keys of the tenant from their next exchange. A key keeps its own settings, but its tokens never get more rights than the tenant has.',
      answers: { 200: tenantBody },
      example: { body: { description: 'The SQL assistant', labels: { team: 'ml', 'cost-centre': null } } },
      method: 'patch',
      path: '/tenants/:id',
      right: 'tenants:write',
      exists,
      ...VERSIONED,
      body: tenantPatch,
      handle: async ({ actor, admin, params, body: { revoke_tokens: wanted, ...given } }) => {
        const withTokens = wanted === true
        const tenant = await tenants.update(actor, params.id ?? '', toPatch(given), { withTokens })
        return withTokens ? answerEnded(admin, tenant) : answer(tenant)
      },
    }),
    route({
      operation: 'suspendTenant',
      summary: 'Suspend a tenant',
      details:
        'Keys of the tenant cannot be exchanged until the tenant is resumed. The tokens that are already issued are revoked: the gateway check (`/check`) rejects them at once. A gateway that verifies them by itself rejects them if it keeps the list of revoked tokens; otherwise it accepts them until they expire. Idempotent.',
      answers: { 200: tenantBody },
      method: 'post',
      path: '/tenants/:id/suspend',
      right: 'tenants:write',
      exists,
      ...VERSIONED,
      handle: async ({ actor, admin, params }) =>
        answerEnded(admin, await tenants.suspend(actor, params.id ?? '')),
    }),
    route({
      operation: 'resumeTenant',
      summary: 'Resume a tenant',
      details: 'Keys of the tenant can be exchanged again. Idempotent.',
      answers: { 200: tenantBody },
      method: 'post',
      path: '/tenants/:id/resume',
      right: 'tenants:write',
      exists,
      ...VERSIONED,
      handle: async ({ actor, params }) => answer(await tenants.resume(actor, params.id ?? '')),
    }),
    route({
      operation: 'deleteTenant',
      summary: 'Delete a tenant',
      details:
        'Permanently deletes the tenant with its keys and admin tokens, and revokes the tokens that are already issued. The id is never reused. With `dry_run` nothing is deleted.',
      answers: { 200: tenantDryRunBody, 204: null },
      conflicts: ['tenant_has_live_keys'],
      example: { query: { cascade: 'true' } },
      method: 'delete',
      path: '/tenants/:id',
      right: 'tenants:write',
      exists,
      preconditions: ['If-Match'],
      query: deletion,
      handle: async ({ actor, params, query }) => {
        const id = params.id ?? ''
        const { cascade, dry_run } = query
        if (!dry_run) {
          await tenants.delete(actor, id, { cascade })
          return noContent
        }
        const { keys, liveKeys, adminTokens } = await tenants.rehearseDeletion(actor, id, { cascade })
        const would_delete = { tenant: id, keys, live_keys: liveKeys, admin_tokens: adminTokens }
        return ok({ dry_run: true, would_delete })
      },
    }),
  ]
}

const toPatch = (given: WirePatch<typeof TENANT_SETTINGS>): TenantPatch => fromWire(TENANT_SETTINGS, given)

function toWire(tenant: Tenant) {
  const { name, description, labels, limits, ...rest } = inSnakeCase(settingsOf(TENANT_SETTINGS, tenant))
  return {
    id: tenant.id,
    name,
    description,
    labels,
    state: tenantState(tenant),
    ...rest,
    limits: allLimits(limits),
    suspended_at: tenant.suspendedAt,
    created_at: tenant.createdAt,
    updated_at: tenant.updatedAt,
  }
}
