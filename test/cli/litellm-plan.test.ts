import { describe, expect, it } from 'vitest'
import type { Destination } from '../../src/cli/import/import-plan.ts'
import { planLiteLLM } from '../../src/cli/import/litellm.ts'
import type { LiteLLMKey, LiteLLMTables, LiteLLMTeam } from '../../src/cli/import/litellm-tables.ts'

/** What an import makes of LiteLLM's teams and keys: nothing gets more rights than it had. */

const NOW = Date.parse('2026-11-29T12:00:00Z')
const destination: Destination = {
  models: new Set(['llama', 'mixtral']),
  adapters: new Set(['sql']),
  tenants: [],
  longestLifetimeSeconds: 90 * 86_400,
  mostLiveKeys: 1_000,
  contactRequired: false,
  now: NOW,
}
const known = (id: string, more: object = {}) => ({
  ...{ id, state: 'active' as const, labels: {}, models: null, adapters: [] },
  ...more,
})

const HASH = 'ab'.repeat(32)
function planOf(
  { team = {}, key = {}, ...tables }: { team?: object; key?: object } & Partial<LiteLLMTables>,
  { tenants = [], teamless }: { tenants?: Destination['tenants']; teamless?: string } = {},
) {
  const found: LiteLLMTables = {
    teams: [{ team_id: 'team-1', team_alias: 'Team Search', ...team } as LiteLLMTeam],
    keys: [{ token: HASH, key_alias: 'ci', team_id: 'team-1', ...key } as LiteLLMKey],
    ...{ budgets: new Map(), organizations: new Map(), projects: new Map(), inGracePeriod: 0 },
    ...tables,
  }
  const options = { tenantOf: new Map(), teamless }
  return planLiteLLM(found, { ...destination, tenants }, options)
}

describe('a team of LiteLLM', () => {
  it('becomes a tenant with its name, models, adapters, limits, and a label by which it is found again', () => {
    const team = { models: ['llama', 'sql', 'unknown'], rpm_limit: 10, tpm_limit: 20, tpd_limit: 30 }
    expect(planOf({ team }).tenants).toEqual([
      {
        id: 'team-search',
        name: 'Team Search',
        models: ['llama'],
        adapters: ['sql'],
        limits: { requests_per_minute: 10, tokens_per_minute: 20, tokens_per_day: 30 },
        labels: { 'litellm/team': 'team-1' },
        suspended: false,
      },
    ])
  })

  it.each([
    ['that is blocked', { blocked: true }, {}],
    ['with a limit of 0', { rpm_limit: 0, tpm_limit: 5 }, { tokens_per_minute: 5 }],
  ])('%s becomes a suspended tenant', (_, team, limits) => {
    expect(planOf({ team }).tenants).toMatchObject([{ suspended: true, limits }])
  })

  it('has the models that its organization has too', () => {
    const organizations = new Map([['org', { id: 'org', models: ['llama'], blocked: false }]])
    const team = { organization_id: 'org', models: ['llama', 'mixtral'] }
    expect(planOf({ team, organizations }).tenants).toMatchObject([{ models: ['llama'] }])
  })

  it('gets another id when a tenant that is not of it has that one, and none when it has a tenant', () => {
    const [other, own] = [known('team-search'), known('mine', { labels: { 'litellm/team': 'team-1' } })]
    expect(planOf({}, { tenants: [other] }).tenants.map(({ id }) => id)).toEqual(['team-1'])
    const again = planOf({}, { tenants: [own] })
    expect([again.tenants, again.clients.map(({ tenant }) => tenant)]).toEqual([[], ['mine']])
  })
})

describe('a key of LiteLLM', () => {
  const client = (key: object, more: Parameters<typeof planOf>[0] = {}) => planOf({ key, ...more }).clients[0]
  const codes = (key: object) => planOf({ key }).notes.all.map(({ code }) => code)

  it('that an old version stored as it is, is not imported, and no part of it is in the report', () => {
    const { clients, notes } = planOf({ key: { token: 'sk-1234', key_alias: null } })
    expect([clients, notes.all.map(({ code }) => code)]).toEqual([[], ['not_hashed']])
    expect(JSON.stringify(notes.all)).not.toContain('1234')
  })

  it.each([
    ['infinity', undefined],
    ['10000-01-01T00:00:00', undefined],
    ['2026-12-24', '2026-12-24T00:00:00.000Z'],
  ])('that expires at %s expires at %s: no later than the policy allows', (expires, expected) => {
    expect(client({ expires })?.expires_at).toBe(expected)
    expect(codes({ expires })).toEqual(expected === undefined ? ['no_end'] : [])
  })

  it.each(['-infinity', '0044-03-15T00:00:00 BC'])('that expired at %s is not imported', expires => {
    expect([client({ expires }), codes({ expires })]).toEqual([undefined, ['expired']])
  })

  it('with a budget of 0 is disabled, as LiteLLM refuses its first request', () => {
    expect(client({ max_budget: 0 })).toMatchObject({ disabled: true })
    expect(codes({ max_budget: 0, expires: '2026-12-24' })).toEqual(['closed_key'])
    expect(client({ max_budget: 0.5 })).toMatchObject({ disabled: false })
  })

  it('whose budget is spent is disabled if it is never reset, and reported if it is', () => {
    const spent = { max_budget: 5, spend: 5, expires: '2026-12-24' }
    expect(client(spent)).toMatchObject({ disabled: true })
    expect(client({ ...spent, budget_duration: '30d' })).toMatchObject({ disabled: false })
    expect(codes({ ...spent, budget_duration: '30d' })).toContain('budget_spent')
    expect(client({ ...spent, spend: 4.9 })).toMatchObject({ disabled: false })
  })

  it.each([
    ['config', { config: { a: 1 } }, 'key_config'],
    ['permissions', { permissions: { get_spend_routes: true } }, 'key_permissions'],
    ['its person', { user_id: 'robin' }, 'key_user_id'],
    ['a service account', { metadata: { service_account_id: 'sa-1' } }, 'key_metadata.service_account_id'],
    ['tags', { metadata: { tags: ['a'] } }, 'key_metadata.tags'],
    ['an access group', { access_group_ids: ['beta'] }, 'key_access_group_ids'],
    ['a group of models', { models: ['beta-models'] }, 'unknown_model'],
    ['a wildcard', { models: ['openai/*'] }, 'wildcard_model'],
    ['routes', { allowed_routes: ['/v1/embeddings'] }, 'other_routes'],
    ['a column of a later version', { zone_lock: ['eu'] }, 'key_zone_lock'],
  ])('with %s is reported by name', (_, key, code) => {
    expect(codes({ expires: '2026-12-24', ...key })).toEqual([code])
  })

  it('of an ordinary row of today’s schema has nothing to report', () => {
    const row = {
      ...{
        key_name: 'sk-...abcd',
        spend: 1.5,
        key_type: 'default',
        soft_budget_cooldown: false,
        rotation_count: 2,
      },
    }
    expect(
      codes({ ...row, expires: '2026-12-24', created_at: '2026-01-01', last_active: '2026-11-01' }),
    ).toEqual([])
  })

  it('has no limit that is above what can be set, and the report says so', () => {
    const key = { tpm_limit: 4_294_967_296, rpm_limit: 10, expires: '2026-12-24' }
    expect([client(key)?.limits, codes(key)]).toEqual([{ requests_per_minute: 10 }, ['limit_too_high']])
  })

  it('becomes an imported client of its team’s tenant, by the hash alone', () => {
    expect(client({ models: ['mixtral'], rpm_limit: 1, expires: '2026-12-24T00:00:00' })).toEqual({
      client_id: `litellm-${HASH.slice(0, 16)}`,
      tenant: 'team-search',
      scheme: 'sha256',
      hash: HASH,
      lookup: true,
      disabled: false,
      name: 'ci',
      models: ['mixtral'],
      adapters: [],
      limits: { requests_per_minute: 1 },
      // Without a zone it is UTC.
      expires_at: '2026-12-24T00:00:00.000Z',
    })
  })

  it.each([
    ['without models of its own', {}, null],
    ['of all models of its team', { models: ['all-team-models'] }, null],
    ['of no model', { models: ['no-default-models'] }, []],
    ['of a model that its team has not', { models: ['mixtral'] }, []],
  ])('%s has no more than its team', (_, key, models) => {
    expect(client(key, { team: { models: ['llama'] } })).toMatchObject({ models })
  })

  it('has the limits of its budget where it has none of its own, and is disabled by a limit of 0', () => {
    const budgets = new Map([['b', { rpm_limit: 3, tpm_limit: 4 }]])
    const key = { budget_id: 'b', tpm_limit: 9 }
    const limits = { requests_per_minute: 3, tokens_per_minute: 9 }
    expect(client(key, { budgets })).toMatchObject({ limits, disabled: false })
    expect(client({ rpm_limit: 0 })).toMatchObject({ limits: {}, disabled: true })
  })

  it.each<[string, object, Parameters<typeof planOf>[0]]>([
    ['that is blocked', { blocked: true }, {}],
    [
      'of a blocked project',
      { project_id: 'p' },
      { projects: new Map([['p', { id: 'p', models: [], blocked: true }]]) },
    ],
  ])('%s is imported disabled', (_, key, more) => {
    expect(client(key, more)).toMatchObject({ disabled: true })
  })

  it('without an end, or one after the longest lifetime, ends with that lifetime', () => {
    for (const expires of [null, '2030-01-01T00:00:00Z'])
      expect(client({ expires })).not.toHaveProperty('expires_at')
  })

  it.each([
    ['that has expired', { expires: '2026-11-29T11:59:59' }, 'expired'],
    ["of LiteLLM's own pages", { team_id: 'litellm-dashboard' }, 'dashboard'],
    ['that is not hashed', { token: 'sk-1234' }, 'not_hashed'],
    ['for other routes', { allowed_routes: ['management_routes'] }, 'other_routes'],
    ['of no team', { team_id: null }, 'no_team'],
    ['of a team that does not exist', { team_id: 'gone' }, 'unknown_team'],
  ])('%s is not imported, and the report says why', (_, key, code) => {
    const { clients, notes } = planOf({ key })
    expect([clients, notes.all.map(note => note.code)]).toEqual([[], [code]])
  })

  it('without a team is imported into the tenant that was named for those', () => {
    const teamless = known('others')
    const { clients } = planOf({ key: { team_id: null } }, { tenants: [teamless], teamless: 'others' })
    expect(clients).toMatchObject([{ tenant: 'others' }])
  })

  it('of a blocked team is held while its tenant is active', () => {
    const own = known('mine', { labels: { 'litellm/team': 'team-1' } })
    const { clients, notes } = planOf({ team: { blocked: true } }, { tenants: [own] })
    expect([clients, notes.all.map(({ code }) => code)]).toEqual([[], ['team_blocked']])
    const suspended = { ...own, state: 'suspended' as const }
    expect(planOf({ team: { blocked: true } }, { tenants: [suspended] }).clients).toHaveLength(1)
  })
})
