import type { z } from 'zod'
import type { AccessReview, ReviewedKey } from '../../api-keys/access-review.ts'
import type { ApiKeys } from '../../api-keys/api-keys.ts'
import { keyState, keyTerm, usableSecrets } from '../../api-keys/key-state.ts'
import type { EffectiveRights } from '../../tenants/rights.ts'
import { ok } from '../answer.ts'
import { reviewedKeyBody } from '../bodies/access-review-body.ts'
import { page as pageOf } from '../bodies/wire.ts'
import type { Cursors } from '../cursor.ts'
import { ForeignTenant } from '../foreign-tenant.ts'
import { keyFilter, keyQuery } from '../key-queries.ts'
import { pageBody, pageRequest } from '../paging.ts'
import { type AdminRoute, route } from '../route.ts'

const LIST = '/access-review'

/** Who can get tokens with what rights, who answers for it, and whether it is used. */
export function accessReviewRoutes(services: {
  accessReview: AccessReview
  keys: ApiKeys
  cursors: Cursors
}): AdminRoute[] {
  const { accessReview, keys, cursors } = services
  return [
    route({
      operation: 'reviewAccess',
      summary: 'Review access',
      details:
        'Keys that are not revoked, with their owner, last use, effective rights and creator. The filters are those of the list of keys: `expires_before` for keys that expire soon, `unused_since` for keys that no client uses.',
      answers: { 200: pageOf(reviewedKeyBody) },
      notFound: true,
      example: { query: { tenant: 'acme', unused_since: '2026-01-01T00:00:00Z' } },
      method: 'get',
      path: LIST,
      right: 'keys:read',
      target: 'scoped by the handler',
      query: keyQuery,
      handle: async ({ admin, query }) => {
        if (admin.tenantId !== null && query.tenant !== undefined && query.tenant !== admin.tenantId)
          throw new ForeignTenant('tenant', query.tenant)
        return page(admin.tenantId ?? query.tenant, query)
      },
    }),
  ]

  async function page(tenant: string | undefined, query: z.output<typeof keyQuery>) {
    const filter = { ...keyFilter(query, tenant), unrevoked: true as const }
    const list = { path: LIST, tenant, filter }
    const found = await accessReview.list(filter, pageRequest(cursors, list, query))
    const { rights, now } = await keys.effective(found.items.map(({ key }) => key))
    return ok(pageBody(cursors, list, found, each => toWire(each, rights.get(each.key.id), now)))
  }
}

function toWire(reviewed: ReviewedKey, rights: EffectiveRights | undefined, now: number) {
  const { key } = reviewed
  return {
    id: key.id,
    name: key.name,
    tenant: key.tenantId,
    tenant_name: reviewed.tenantName,
    state: keyState(keyTerm(key), now),
    contact: reviewed.contact,
    escalation: reviewed.escalation,
    created_by: key.createdBy,
    created_at: key.createdAt,
    expires_at: key.expiresAt,
    last_used_at: reviewed.lastUsedAt,
    usable_secrets: usableSecrets(key, now).length,
    tier: rights?.tier ?? null,
    scopes: rights?.scopes ?? [],
    models: rights?.models ?? [],
    adapters: rights?.adapters ?? [],
    audiences: rights?.audiences ?? [],
  }
}
