import { expect, it } from 'vitest'
import { ROOT } from '../../src/admin/admin-auth.ts'
import { usageQuery } from '../../src/admin/usage/usage-query.ts'

it('continues a list in the month in which it began', () => {
  const begun = new Date('2026-11-01T00:00:00Z')
  const now = Date.parse('2026-12-01T00:00:01Z')
  const asked = { group_by: ['tenant'], time_zone: 'UTC' }
  expect(usageQuery(asked, ROOT, { now, begun }).from).toEqual(begun)
  expect(usageQuery(asked, ROOT, { now }).from).toEqual(new Date('2026-12-01T00:00:00Z'))
})
