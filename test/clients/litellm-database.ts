import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { scenario } from './python.ts'

/** A virtual key as LiteLLM's own code made it. */
interface VirtualKey {
  key: string
  token: string
}

export interface LiteLLMDatabase {
  database: TestDatabase
  keys: VirtualKey[]
}

const TEAMS = 40
const KEYS_A_TEAM = 25

/** The `n`th team and key, with what LiteLLM lets an administrator set. */
const teamOf = (n: number) => `team-${n % TEAMS}`

/** A database of LiteLLM, by its own migrations: 40 teams with 25 keys each. */
export async function createLiteLLMDatabase(): Promise<LiteLLMDatabase> {
  const database = await createTestDatabase({ empty: true })
  for (const migration of await scenario('litellm_keys.py', 'migrations', {}).result)
    await database.asOwner(migration)
  const count = TEAMS * KEYS_A_TEAM
  const keys: VirtualKey[] = await scenario('litellm_keys.py', 'keys', { count }).result
  await database.asOwner(
    `INSERT INTO "LiteLLM_BudgetTable" (budget_id, rpm_limit, max_budget, created_by, updated_by) VALUES ('small', 30, 5, 'admin', 'admin')`,
  )
  for (let n = 0; n < TEAMS; n++) await database.asOwner(TEAM, teamValues(n))
  for (const [n, { token }] of keys.entries()) await database.asOwner(KEY, keyValues(n, token))
  return { database, keys }
}

const TEAM = `INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, models, rpm_limit, tpm_limit, tpd_limit, max_budget, blocked, metadata)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

function teamValues(n: number): unknown[] {
  const models =
    n === 1
      ? ['all-proxy-models']
      : n === 2
        ? ['llama-3-8b', 'openai/*', 'gpt-x']
        : ['llama-3-8b', 'acme-sql']
  const metadata = n === 4 ? '{"guardrails": ["pii"]}' : '{}'
  return [
    teamOf(n),
    `Team ${n}`,
    models,
    n === 5 ? null : 600,
    90_000,
    n === 6 ? 1_000_000 : null,
    n === 7 ? 100 : null,
    n === 3,
    metadata,
  ]
}

const KEY = `INSERT INTO "LiteLLM_VerificationToken"
  (token, key_name, key_alias, team_id, models, expires, blocked, rpm_limit, max_budget, budget_id, user_id, allowed_routes)
  VALUES ($1, $2, $3, $4, $5, $6::timestamp, $7, $8, $9, $10, $11, $12)`

/** Of each forty, the ones of team 8 are special. */
function keyValues(n: number, token: string): unknown[] {
  const special = teamOf(n) === 'team-8' ? Math.floor(n / TEAMS) : undefined
  const when = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 23)
  return [
    token,
    'sk-...abcd',
    `key ${n}`,
    special === 1 ? null : teamOf(n),
    special === 2 ? ['acme-sql'] : [],
    special === 3 ? when(-1) : special === 4 ? when(30) : null,
    special === 5,
    special === 6 ? 10 : null,
    special === 7 ? 20 : null,
    special === 8 ? 'small' : null,
    special === 9 ? 'somebody' : null,
    special === 10 ? ['management_routes'] : [],
  ]
}

/** The index of a key of team 8, by what is special about it. */
const SPECIAL = {
  teamless: 1,
  adapterOnly: 2,
  expired: 3,
  expiring: 4,
  blocked: 5,
  limited: 6,
  budgeted: 7,
  budgetTable: 8,
  ofUser: 9,
  management: 10,
} as const

export const specialKey = ({ keys }: LiteLLMDatabase, what: keyof typeof SPECIAL): VirtualKey =>
  keys[8 + TEAMS * SPECIAL[what]] as VirtualKey
