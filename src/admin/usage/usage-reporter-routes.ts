import { type UsageReporter, usageReporterVersion } from '../../usage/usage-reporter.ts'
import type { UsageReporters } from '../../usage/usage-reporters.ts'
import { created, noContent, ok } from '../answer.ts'
import {
  inspectedReporterBody,
  issuedUsageReporterBody,
  reporterCreate,
  reporterInspection,
  reporterRotation,
  usageReporterBody,
} from '../bodies/usage-reporter-body.ts'
import { page } from '../bodies/wire.ts'
import type { Cursors } from '../cursor.ts'
import { pageBody, pageQuery, pageRequest } from '../paging.ts'
import { VERSIONED } from '../preconditions.ts'
import { type AdminRoute, route } from '../route.ts'

const LIST = '/usage-reporters'

/** Gateways and collectors that report usage. */
export function usageReporterRoutes(reporters: UsageReporters, cursors: Cursors): AdminRoute[] {
  return [
    route({
      operation: 'createUsageReporter',
      summary: 'Create a usage reporter',
      details: 'The response contains the secret of the reporter, once.',
      answers: { 201: issuedUsageReporterBody },
      conflicts: ['too_many_usage_reporters'],
      example: { body: { name: 'envoy in eu-1', audiences: ['vllm'] } },
      method: 'post',
      path: LIST,
      right: 'usage-reporters:write',
      issuesSecret: true,
      tellsVersion: true,
      body: reporterCreate,
      handle: async ({ actor, body }) => {
        const { reporter, secret } = await reporters.create(actor, body)
        return created(
          `${LIST}/${reporter.id}`,
          { ...toWire(reporter), secret },
          usageReporterVersion(reporter),
        )
      },
    }),
    route({
      operation: 'listUsageReporters',
      summary: 'List usage reporters',
      answers: { 200: page(usageReporterBody) },
      method: 'get',
      path: LIST,
      right: 'usage-reporters:read',
      query: pageQuery,
      handle: async ({ query }) => {
        const list = { path: LIST }
        const found = await reporters.list(pageRequest(cursors, list, query))
        return ok(pageBody(cursors, list, found, toWire))
      },
    }),
    route({
      operation: 'inspectUsageReporter',
      summary: 'Identify a usage reporter',
      details:
        'Returns the usage reporter that has the given secret, or had it before a rotation. The request does not count as a report of the reporter.',
      answers: { 200: inspectedReporterBody },
      example: { body: { secret: 'mmr_6Yw2Hs8KqR4nVb1C_0000000000000000000000000000000000000000000000000' } },
      method: 'post',
      path: `${LIST}/inspect`,
      right: 'usage-reporters:read',
      body: reporterInspection,
      handle: async ({ body }) => {
        const { wellFormed, found } = await reporters.inspect(body.secret.trim())
        return ok({
          well_formed: wellFormed,
          usage_reporter: found ? toWire(found.reporter) : null,
          secret_id: found?.secretId ?? null,
          secret_ends_at: found?.endsAt ?? null,
        })
      },
    }),
    route({
      operation: 'getUsageReporter',
      summary: 'Get a usage reporter',
      answers: { 200: usageReporterBody },
      method: 'get',
      path: `${LIST}/:id`,
      right: 'usage-reporters:read',
      exists: params => reporters.get(params.id ?? ''),
      ...VERSIONED,
      handle: async ({ params }) => {
        const reporter = await reporters.get(params.id ?? '')
        return ok(toWire(reporter), usageReporterVersion(reporter))
      },
    }),
    route({
      operation: 'rotateUsageReporter',
      summary: 'Rotate a usage reporter',
      details:
        'Creates another secret. The previous secret stays valid for `overlap_seconds`. The id of the reporter does not change, and a record that is sent with both is counted once. The response contains the new secret, once.',
      answers: { 201: issuedUsageReporterBody },
      conflicts: ['usage_reporter_deleted', 'two_live_secrets'],
      example: { body: { overlap_seconds: 3600, replace: 'oldest' } },
      method: 'post',
      path: `${LIST}/:id/rotate`,
      right: 'usage-reporters:write',
      issuesSecret: true,
      exists: params => reporters.get(params.id ?? ''),
      ...VERSIONED,
      body: reporterRotation,
      handle: async ({ actor, params, body }) => {
        const rotation = { overlapSeconds: body.overlap_seconds, replace: body.replace }
        const { reporter, secret } = await reporters.rotate(actor, params.id ?? '', rotation)
        return created(
          `${LIST}/${reporter.id}`,
          { ...toWire(reporter), secret },
          usageReporterVersion(reporter),
        )
      },
    }),
    route({
      operation: 'deleteUsageReporter',
      summary: 'Delete a usage reporter',
      details:
        'Its secret is not accepted any more. The reporter stays readable, because totals name it. Idempotent.',
      answers: { 204: null },
      method: 'delete',
      path: `${LIST}/:id`,
      right: 'usage-reporters:write',
      exists: params => reporters.get(params.id ?? ''),
      preconditions: ['If-Match'],
      handle: async ({ actor, params }) => {
        await reporters.delete(actor, params.id ?? '')
        return noContent
      },
    }),
  ]
}

const toWire = (reporter: UsageReporter) => ({
  id: reporter.id,
  name: reporter.name,
  audiences: reporter.audiences,
  state: reporter.deletedAt ? 'deleted' : 'active',
  created_by: reporter.createdBy,
  created_at: reporter.createdAt,
  deleted_at: reporter.deletedAt,
  secret_id: reporter.secretId,
  older_secret_ends_at: reporter.olderSecretEndsAt,
})
