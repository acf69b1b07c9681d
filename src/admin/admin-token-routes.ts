import { z } from 'zod'
import {
  type AdminToken,
  adminTokenState,
  adminTokenVersion,
  TOKEN_ROLES,
} from '../admin-tokens/admin-token.ts'
import type {
  AdminTokenRevocations,
  Cascade,
  RevocationRehearsal,
} from '../admin-tokens/admin-token-revocations.ts'
import type { AdminTokens } from '../admin-tokens/admin-tokens.ts'
import { created, ok } from './answer.ts'
import { adminTokenBody, issuedAdminTokenBody, revokedAdminTokenBody } from './bodies/admin-token-body.ts'
import { page } from './bodies/wire.ts'
import type { Cursors } from './cursor.ts'
import * as field from './fields.ts'
import { pageBody, pageQuery, pageRequest } from './paging.ts'
import { VERSIONED } from './preconditions.ts'
import { type AdminRoute, route } from './route.ts'

const tokenCreate = z
  .strictObject({
    name: field.displayName.default('').describe('Display name.'),
    role: z
      .enum(TOKEN_ROLES, `must be one of ${TOKEN_ROLES.join(', ')}`)
      .describe('Role, which determines the rights of the token.'),
    tenant: field.tenantId
      .nullable()
      .default(null)
      .describe(
        'Tenant of a tenant-admin. It is required for that role, and must be null for every other role.',
      ),
    audiences: field.audiences
      .min(1, 'must have at least one entry')
      .nullable()
      .default(null)
      .describe(
        'Audiences of an introspector: it may ask about tokens of these audiences. They are required for that role, and must be null for every other role.',
      ),
    expires_at: field.instant
      .nullable()
      .optional()
      .describe(
        'Time of expiry. Default: the longest lifetime that the policy allows, or the end of the token of the caller, if that is earlier. null: never, if the policy allows it.',
      ),
  })
  .refine(({ role, tenant }) => (role === 'tenant-admin') === (tenant !== null), {
    path: ['tenant'],
    message: 'must name a tenant for the role tenant-admin, and must be null for every other role',
  })
  .refine(({ role, audiences }) => (role === 'introspector') === (audiences !== null), {
    path: ['audiences'],
    message: 'must name the audiences for the role introspector, and must be null for every other role',
  })
  .meta({ id: 'NewAdminToken', description: 'Settings of a new admin token.' })

const revocation = z.strictObject({
  reason: field.reason.nullable().default(null).describe('Reason, for the audit trail.'),
  cascade: field.flag
    .default(false)
    .describe(
      'Also revoke what this token created, directly or through tokens that it created: admin tokens, keys, secrets and credentials of keys.',
    ),
  dry_run: field.flag.default(false).describe('Only show what would be revoked.'),
})

const LIST = '/admin-tokens'

/** Admin tokens. A tenant-admin sees and issues tokens of its tenant only. */
export function adminTokenRoutes(
  tokens: AdminTokens,
  revocations: AdminTokenRevocations,
  cursors: Cursors,
): AdminRoute[] {
  const target = {
    what: 'admin token',
    param: 'id',
    tenantOf: async (id: string) => (await tokens.get(id)).tenantId,
  }
  const answer = async (token: AdminToken) => ok(toWire(token, await tokens.now()), adminTokenVersion(token))
  return [
    route({
      operation: 'createAdminToken',
      summary: 'Create an admin token',
      details:
        'The response contains the token, once. The new token cannot have more rights than the caller, and cannot expire later than the token of the caller.',
      answers: { 201: issuedAdminTokenBody },
      example: { body: { name: 'platform team', role: 'operator' } },
      method: 'post',
      path: LIST,
      right: 'admin-tokens:write',
      issuesSecret: true,
      tellsVersion: true,
      target: 'scoped by the handler',
      body: tokenCreate,
      handle: async ({ actor, admin, body: { name, role, tenant, audiences, expires_at } }) => {
        const request = { name, role, tenantId: tenant, audiences, expiresAt: expires_at }
        const { token, secret } = await tokens.create(actor, admin, request)
        const body = { ...toWire(token, await tokens.now()), secret }
        return created(`${LIST}/${token.id}`, body, adminTokenVersion(token))
      },
    }),
    route({
      operation: 'listAdminTokens',
      summary: 'List admin tokens',
      answers: { 200: page(adminTokenBody) },
      method: 'get',
      path: LIST,
      right: 'admin-tokens:read',
      target: 'scoped by the handler',
      query: pageQuery,
      handle: async ({ admin, query }) => {
        const list = { path: LIST, tenant: admin.tenantId }
        const page = await tokens.list(admin.tenantId, pageRequest(cursors, list, query))
        const now = await tokens.now()
        return ok(pageBody(cursors, list, page, token => toWire(token, now)))
      },
    }),
    route({
      operation: 'getAdminToken',
      summary: 'Get an admin token',
      answers: { 200: adminTokenBody },
      method: 'get',
      path: `${LIST}/:id`,
      right: 'admin-tokens:read',
      target,
      ...VERSIONED,
      handle: async ({ params }) => answer(await tokens.get(params.id ?? '')),
    }),
    route({
      operation: 'revokeAdminToken',
      summary: 'Revoke an admin token',
      details:
        'Permanently revokes the token: every replica rejects the next request with it. (Introspection tokens are rejected within about a second.) With `cascade`, the keys, secrets, credentials and admin tokens that this token created are revoked too. For each of these admin tokens the same is done. First admin tokens are revoked, then keys, then secrets that were added to other keys by a rotation, then credentials (public keys, and rules for workloads) that were added to other keys. Identity providers and usage reporters stay. Each request revokes at most 2,000 objects: repeat it, with another `Idempotency-Key`, until `left` is 0. Idempotent: a second request keeps the reason of the first.',
      answers: { 200: revokedAdminTokenBody },
      example: { body: { reason: 'left the team', cascade: true } },
      method: 'post',
      path: `${LIST}/:id/revoke`,
      right: 'admin-tokens:write',
      target,
      ...VERSIONED,
      body: revocation,
      handle: async ({ actor, params, body: { dry_run, ...options } }) => {
        const id = params.id ?? ''
        if (dry_run) return ok(rehearsalToWire(await revocations.rehearse(actor, id, options)))
        const { token, cascade } = await revocations.revoke(actor, id, options)
        const body = toWire(token, await tokens.now())
        return ok(cascade ? { ...body, cascade: cascadeToWire(cascade) } : body, adminTokenVersion(token))
      },
    }),
  ]
}

const cascadeToWire = ({ adminTokens, keys, secrets, credentials, left }: Cascade) => ({
  admin_tokens: adminTokens,
  keys,
  secrets,
  credentials,
  left,
})

function rehearsalToWire({ count, tokens, created }: RevocationRehearsal) {
  return {
    dry_run: true,
    would_revoke: count.adminTokens,
    would_revoke_keys: count.keys,
    would_revoke_secrets: count.secrets,
    would_delete_credentials: count.credentials,
    admin_tokens: tokens.map(({ id, name, role }) => ({ id, name, role })),
    keys: created.keys.map(({ id, tenantId, name }) => ({ id, tenant: tenantId, name })),
    secrets: created.secrets.map(onKey),
    credentials: created.credentials.map(onKey),
  }
}

const onKey = ({ id, keyId, tenantId }: { id: string; keyId: string; tenantId: string }) => ({
  id,
  key: keyId,
  tenant: tenantId,
})

function toWire(token: AdminToken, now: number) {
  return {
    id: token.id,
    name: token.name,
    role: token.role,
    tenant: token.tenantId,
    audiences: token.audiences,
    state: adminTokenState(token, now),
    expires_at: token.expiresAt,
    created_by: token.createdBy,
    created_at: token.createdAt,
    last_used_at: token.lastUsedAt,
    revoked_at: token.revokedAt,
    revoked_reason: token.revokedReason,
  }
}
