import { afterAll, beforeAll, expect, it } from 'vitest'
import { startTestService, type TestService } from '../support/test-service.ts'
import { makeReporter } from '../usage/reports.ts'
import { lacksPython, scenario } from './python.ts'

/** Python's `openai` package reads usage as an administrator of OpenAI does. (In JavaScript: test/usage/usage-api.test.ts.) */
const skipped = lacksPython()
let mintmark: TestService
beforeAll(async () => {
  if (!skipped) mintmark = await startTestService()
})
afterAll(() => mintmark?.stop())

it.skipIf(skipped)('OpenAI(admin_api_key=…) in Python reads usage, page by page', async () => {
  const reporter = await makeReporter(mintmark)
  await mintmark.database.asOwner(
    `INSERT INTO usage_totals (hour, tenant_id, key_id, model, reporter_id, labels, requests, input_tokens, cached_input_tokens, output_tokens)
     SELECT '2026-03-01T00:00Z'::timestamptz + n * interval '6 hours', tenant, 'key_1', 'base', $1, '{}', 1, 10, 4, 5
     FROM generate_series(0, 39) AS n, unnest('{acme,blue}'::text[]) AS tenant`,
    [reporter.id],
  )
  const read = await scenario('openai_admin.py', 'completions', {
    baseURL: `${mintmark.service.urls.admin}/v1`,
    adminKey: mintmark.rootToken,
    query: {
      ...{ start_time: Date.UTC(2026, 2, 1) / 1000, end_time: Date.UTC(2026, 2, 11) / 1000, limit: 3 },
      ...{ bucket_width: '1d', group_by: ['project_id', 'model'], project_ids: ['acme', 'blue'] },
    },
  }).result
  expect(read.results).toHaveLength(20)
  expect(read.results[0]).toMatchObject({
    ...{ project_id: 'acme', model: 'base', num_model_requests: 4 },
    ...{ input_tokens: 40, input_cached_tokens: 16, output_tokens: 20 },
  })
  expect(read.refused).toBe('BadRequestError')
})
