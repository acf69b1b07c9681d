import type { ForeignQuery } from '../../database/foreign-database.ts'

/**
 * LiteLLM's tables, as its Prisma schema has them (litellm/proxy/schema.prisma). Rows are read as JSON, because versions of
 * LiteLLM differ in their columns: an absent one is undefined. Timestamps are UTC without a zone.
 */

export interface LiteLLMLimits {
  rpm_limit?: number | null
  tpm_limit?: number | null
  tpd_limit?: number | null
}

export interface LiteLLMTeam extends LiteLLMLimits {
  team_id: string
  team_alias?: string | null
  models?: string[] | null
  blocked?: boolean | null
  organization_id?: string | null
  [column: string]: unknown
}

export interface LiteLLMKey extends LiteLLMLimits {
  /** The SHA-256 of the key, in hex. */
  token: string
  key_alias?: string | null
  team_id?: string | null
  project_id?: string | null
  organization_id?: string | null
  budget_id?: string | null
  max_budget?: number | null
  models?: string[] | null
  expires?: string | null
  blocked?: boolean | null
  allowed_routes?: string[] | null
  metadata?: Record<string, unknown> | null
  [column: string]: unknown
}

/** An organization, or a project: it restricts the models of its teams and keys. */
interface LiteLLMGroup {
  id: string
  models: string[]
  blocked: boolean
}

export interface LiteLLMTables {
  teams: LiteLLMTeam[]
  keys: LiteLLMKey[]
  /** By `budget_id`. */
  budgets: Map<string, LiteLLMLimits & { max_budget?: number | null }>
  organizations: Map<string, LiteLLMGroup>
  projects: Map<string, LiteLLMGroup>
  /** Keys that were rotated, whose old secret still works. */
  inGracePeriod: number
}

const ROWS_A_QUERY = 1_000

/** @throws {Error} of Postgres when a table is missing. */
export async function readLiteLLM(query: ForeignQuery): Promise<LiteLLMTables> {
  const budgets = await rowsOf<LiteLLMLimits & { budget_id: string }>(
    query,
    'LiteLLM_BudgetTable',
    'budget_id',
  )
  return {
    teams: await rowsOf<LiteLLMTeam>(query, 'LiteLLM_TeamTable', 'team_id'),
    keys: await rowsOf<LiteLLMKey>(query, 'LiteLLM_VerificationToken', 'token'),
    budgets: new Map(budgets.map(budget => [budget.budget_id, budget])),
    organizations: await groupsOf(query, 'LiteLLM_OrganizationTable', 'organization_id'),
    projects: await groupsOf(query, 'LiteLLM_ProjectTable', 'project_id'),
    inGracePeriod: await countInGracePeriod(query),
  }
}

/** All rows of a table, in the order of its key. */
async function rowsOf<Row>(query: ForeignQuery, table: string, key: string): Promise<Row[]> {
  const rows: Row[] = []
  for (let after = ''; ; ) {
    const page = await query<{ key: string; row: Row }>(
      `SELECT t."${key}" AS key, to_jsonb(t) AS row FROM "${table}" AS t WHERE t."${key}" > $1 ORDER BY 1 LIMIT ${ROWS_A_QUERY}`,
      [after],
    )
    rows.push(...page.map(({ row }) => row))
    const last = page.at(-1)
    if (!last || page.length < ROWS_A_QUERY) return rows
    after = last.key
  }
}

/** Older versions lack some tables. */
async function exists(query: ForeignQuery, table: string): Promise<boolean> {
  const [row] = await query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [`"${table}"`])
  return row?.found === true
}

async function groupsOf(query: ForeignQuery, table: string, key: string): Promise<Map<string, LiteLLMGroup>> {
  if (!(await exists(query, table))) return new Map()
  const rows = await rowsOf<Record<string, unknown>>(query, table, key)
  const groups = rows.map(row => ({
    id: String(row[key]),
    models: (row.models as string[] | null) ?? [],
    blocked: row.blocked === true,
  }))
  return new Map(groups.map(group => [group.id, group]))
}

async function countInGracePeriod(query: ForeignQuery): Promise<number> {
  const table = 'LiteLLM_DeprecatedVerificationToken'
  if (!(await exists(query, table))) return 0
  const [row] = await query<{ count: number }>(
    `SELECT count(*)::int AS count FROM "${table}" WHERE revoke_at > now() AT TIME ZONE 'UTC'`,
  )
  return row?.count ?? 0
}

/** How often a key used a model, by LiteLLM's own log of requests. */
interface LiteLLMUse {
  /** The SHA-256 of the key, in hex. */
  token: string
  model: string
  requests: number
}

/** The requests of the last `days`. A table without an index of its times is read as a whole. */
export const readSpendLogs = (query: ForeignQuery, days: number): Promise<LiteLLMUse[]> =>
  query<LiteLLMUse>(
    `SELECT api_key AS token, coalesce(nullif(model_group, ''), model) AS model, count(*)::int AS requests
     FROM "LiteLLM_SpendLogs" WHERE "startTime" > (now() AT TIME ZONE 'UTC') - make_interval(days => $1)
     GROUP BY 1, 2 ORDER BY 3 DESC`,
    [days],
  )
