import { LIMIT_RANGE } from '../../tenants/limits.ts'
import type { Notes } from './notes.ts'

/** Columns of LiteLLM's keys and teams that have no counterpart, and what an operator can do instead. */
const BUDGET = 'Mintmark has limits of requests and tokens. For chargeback by month: mintmark usage.'
const GATEWAY = 'Set it up at the gateway or the engine, where it is needed.'
const CREATED_HERE = 'It does not travel: set it for the key or the tenant here.'

const COLUMNS: Readonly<Record<string, string>> = {
  max_budget: BUDGET,
  soft_budget: BUDGET,
  budget_duration: BUDGET,
  budget_limits: BUDGET,
  model_max_budget: BUDGET,
  budget_fallbacks: BUDGET,
  max_parallel_requests: 'The engine queues by priority; a gateway can limit connections.',
  user_id: 'A key belongs to a tenant only. Its person can be its contact.',
  agent_id: CREATED_HERE,
  object_permission_id: GATEWAY,
  permissions: GATEWAY,
  aliases: 'Clients must send the name of a registered model or adapter.',
  model_id: 'Model aliases of a team: clients must send the name of a registered model or adapter.',
  config: GATEWAY,
  router_settings: GATEWAY,
  policies: GATEWAY,
  access_group_ids: 'Grant the models of the group by name.',
  allowed_cache_controls: GATEWAY,
  auto_rotate: 'Rotate here: mintmark key rotate.',
  'metadata.guardrails': GATEWAY,
  'metadata.model_rpm_limit': 'Limits apply to all models of a key together.',
  'metadata.model_tpm_limit': 'Limits apply to all models of a key together.',
  'metadata.tags': 'Use labels: mintmark key update --label.',
  'metadata.service_account_id': 'A service account is a key of its tenant here. Its name can be a label.',
  'metadata.allowed_passthrough_routes': GATEWAY,
  allowed_models: 'Models of a budget: name them at the key, mintmark key update --model.',
  default_team_member_models: 'Keys have the models of their tenant, or name their own.',
}

/** Columns that are imported, or that are LiteLLM's own records. What a later version adds is noted by its name. */
const READ: ReadonlySet<string> = new Set(
  `token key_name key_alias spend expires models team_id project_id metadata blocked tpm_limit rpm_limit tpd_limit
  budget_reset_at allowed_routes key_type budget_id organization_id model_spend created_at created_by updated_at updated_by
  settings_updated_at last_active rotation_count rotation_interval last_rotation_at key_rotation_at soft_budget_cooldown
  team_alias admins members members_with_roles team_member_permissions allow_team_guardrail_config`.split(
    /\s+/,
  ),
)

const isSet = (value: unknown): boolean => {
  if (value === null || value === undefined || value === '' || value === false || value === 0) return false
  return typeof value !== 'object' || Object.keys(value).length > 0
}

/** Notes every column of a row that is set and has no counterpart. Values are not repeated: some are private. */
export function noteUnmapped(notes: Notes, kind: 'key' | 'team', subject: string, row: object): void {
  for (const [column, cure] of Object.entries(COLUMNS)) {
    const [name = '', member] = column.split('.')
    const value = Reflect.get(row, name)
    if (isSet(member === undefined ? value : Object(value)[member]))
      notes.add(`${kind}_${column}`, subject, `${column} of a ${kind} has no counterpart.`, cure)
  }
}

/** Notes the columns that are set and that no version of LiteLLM had which this one was written for. */
export function noteNewColumns(notes: Notes, kind: 'key' | 'team', subject: string, row: object): void {
  for (const [column, value] of Object.entries(row))
    if (isSet(value) && !READ.has(column) && !Object.hasOwn(COLUMNS, column))
      notes.add(
        `${kind}_${column}`,
        subject,
        `${column} of a ${kind} is not known to this version of Mintmark, and was not imported.`,
        'If it restricts what may be used: set the same here before the switch.',
      )
}

/** Notes a limit that is above what can be set. */
export const noteBeyond = (notes: Notes, subject: string) =>
  notes.add(
    'limit_too_high',
    subject,
    `A limit above ${LIMIT_RANGE.max} has no counterpart: there is none here.`,
    'To limit it: mintmark tenant update, or mintmark key update.',
  )

/** Models that are asked for and that Mintmark does not have. */
export function noteUnknown(notes: Notes, unknown: readonly string[]): void {
  for (const name of unknown) {
    const isWildcard = name.includes('*')
    notes.add(
      isWildcard ? 'wildcard_model' : 'unknown_model',
      name,
      isWildcard
        ? 'A wildcard grants nothing here.'
        : 'A name that is no registered model or adapter grants nothing here.',
      isWildcard
        ? 'Name the models: mintmark tenant update --model <name>.'
        : 'Register it before the import: mintmark model set <name>. Afterwards also: mintmark tenant update --model.',
    )
  }
}
