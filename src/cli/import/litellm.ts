import { createHash } from 'node:crypto'
import {
  type Destination,
  type ImportedClient,
  type ImportPlan,
  idLike,
  type KnownTenant,
  type NewTenant,
  nameLike,
} from './import-plan.ts'
import { clientIdOf, expiryOf, isHashed, isSpent } from './litellm-key.ts'
import { mapLimits } from './litellm-limits.ts'
import { mapModels } from './litellm-models.ts'
import type { LiteLLMKey, LiteLLMTables, LiteLLMTeam } from './litellm-tables.ts'
import { noteBeyond, noteNewColumns, noteUnknown, noteUnmapped } from './litellm-unmapped.ts'
import { Notes } from './notes.ts'

/** The label of a tenant that was made of a team: so a second import finds it again. */
const TEAM_LABEL = 'litellm/team'
/** LiteLLM's own sessions: people who use its pages. */
const DASHBOARD = 'litellm-dashboard'
/** A key that is restricted to other routes is no key for inference. */
const INFERENCE_ROUTES = new Set(['llm_api_routes', 'openai_routes', 'anthropic_routes'])

interface LiteLLMOptions {
  /** Tenants for teams, by `team_id`. */
  tenantOf: ReadonlyMap<string, string>
  /** The tenant of keys without a team; undefined: they are not imported. */
  teamless: string | undefined
}

/** The tenant of a team, and whether its keys may be used. */
interface Home {
  id: string
  models: readonly string[] | null
  adapters: readonly string[]
  /** The team is closed, and the tenant is not suspended: a key would work that does not work in LiteLLM. */
  held?: boolean
}

/** Maps LiteLLM's teams to tenants and its virtual keys to imported clients. Nothing gets more rights than it had. */
export function planLiteLLM(
  tables: LiteLLMTables,
  destination: Destination,
  options: LiteLLMOptions,
): ImportPlan {
  const notes = new Notes()
  const homes = new Map<string, Home>()
  const taken = new Set(destination.tenants.map(({ id }) => id))
  const tenants: (NewTenant & { suspended: boolean })[] = []
  for (const team of tables.teams) {
    const tenant = newTenant(team, tables, destination, { options, taken, notes })
    const known = knownTenant(team, destination, options)
    if (known) {
      homes.set(team.team_id, { ...known, held: isClosed(team) && known.state === 'active' })
      continue
    }
    // Two teams may have been given one new tenant.
    const planned = tenants.find(({ id }) => id === tenant.id)
    if (!planned) tenants.push(tenant)
    taken.add(tenant.id)
    homes.set(team.team_id, planned ?? tenant)
  }
  const teamless = destination.tenants.find(({ id }) => id === options.teamless)
  const clients = tables.keys.flatMap(key => {
    const home = key.team_id ? homes.get(key.team_id) : teamless
    return mapKey(key, home, tables, destination, notes) ?? []
  })
  if (tables.inGracePeriod > 0)
    notes.add(
      'rotated_keys',
      `${tables.inGracePeriod} secrets`,
      'Replaced secrets in their grace period are not imported.',
      'Their holders need the new secret, or wait for the end of the grace period.',
    )
  return { tenants, clients, notes }
}

const SUSPEND = 'Suspend the tenant, and import again: mintmark tenant suspend <tenant>.'

/** Whether LiteLLM lets no request of the team pass. */
export const isClosed = (team: LiteLLMTeam): boolean =>
  team.blocked === true || mapLimits(team, undefined).closed

/** The tenant that an import created of the team. */
export const tenantOfTeam = ({ team_id }: LiteLLMTeam, { tenants }: Destination): KnownTenant | undefined =>
  tenants.find(({ labels }) => labels[TEAM_LABEL] === labelOf(team_id))

function knownTenant(
  team: LiteLLMTeam,
  destination: Destination,
  { tenantOf }: LiteLLMOptions,
): KnownTenant | undefined {
  const wanted = tenantOf.get(team.team_id)
  return wanted === undefined
    ? tenantOfTeam(team, destination)
    : destination.tenants.find(({ id }) => id === wanted)
}

const RESUME = 'If it should work: set its limits, then mintmark tenant resume <tenant>.'

/** The longest value of a label. */
const labelOf = (teamId: string) => nameLike(teamId)

function newTenant(
  team: LiteLLMTeam,
  { organizations }: LiteLLMTables,
  destination: Destination,
  { options, taken, notes }: { options: LiteLLMOptions; taken: ReadonlySet<string>; notes: Notes },
): NewTenant & { suspended: boolean } {
  const name = nameLike(team.team_alias || team.team_id)
  const organization = organizations.get(team.organization_id ?? '')
  const mapped = mapModels([team.models, organization?.models], destination)
  const { limits, closed, beyond } = mapLimits(team, undefined)
  noteUnknown(notes, mapped.unknown)
  if (closed)
    notes.add('closed_team', name, 'A limit of 0 lets nothing pass: the tenant is suspended.', RESUME)
  if (beyond) noteBeyond(notes, name)
  noteUnmapped(notes, 'team', name, team)
  noteNewColumns(notes, 'team', name, team)
  return {
    id: options.tenantOf.get(team.team_id) ?? freeId(team, taken),
    name,
    models: mapped.models,
    adapters: mapped.adapters ?? [],
    limits,
    labels: { [TEAM_LABEL]: labelOf(team.team_id) },
    suspended: isClosed(team),
  }
}

/** The team's alias as an id, or its id; with a suffix where another tenant has it. The same each time. */
function freeId({ team_id, team_alias }: LiteLLMTeam, taken: ReadonlySet<string>): string {
  const wanted = [idLike(team_alias ?? ''), idLike(team_id)].filter(id => id !== undefined)
  const free = wanted.find(id => !taken.has(id))
  const suffix = createHash('sha256').update(team_id).digest('hex').slice(0, 8)
  return free ?? `${(wanted[0] ?? 'team').slice(0, 54).replace(/-$/, '')}-${suffix}`
}

function mapKey(
  key: LiteLLMKey,
  home: Home | undefined,
  { budgets, projects, organizations }: LiteLLMTables,
  destination: Destination,
  notes: Notes,
): ImportedClient | undefined {
  const subject = nameLike(key.key_alias || clientIdOf(key))
  const obstacle = obstacleTo(key, home, destination.now)
  if (obstacle) {
    notes.add(obstacle.code, subject, `Not imported: ${obstacle.message}`, obstacle.cure)
    return undefined
  }
  if (!home) return undefined
  const project = projects.get(key.project_id ?? '')
  const within = { models: new Set(home.models ?? destination.models), adapters: new Set(home.adapters) }
  const lists = [key.models, project?.models, organizations.get(key.organization_id ?? '')?.models]
  const mapped = mapModels(lists, within)
  noteUnknown(
    notes,
    mapped.unknown.filter(name => !destination.models.has(name) && !destination.adapters.has(name)),
  )
  const { limits, closed: isLimited, beyond } = mapLimits(key, budgets.get(key.budget_id ?? ''))
  // LiteLLM refuses a key whose spend is not below its budget, from its first request on.
  const spent = isSpent(key)
  const closed = isLimited || spent === 'for ever'
  if (closed)
    notes.add('closed_key', subject, 'A limit or budget of 0 lets nothing pass: the key is disabled.', ENABLE)
  if (beyond) noteBeyond(notes, subject)
  if (spent === 'until its reset')
    notes.add(
      'budget_spent',
      subject,
      'The budget is spent: LiteLLM refuses the key until its reset, and it works here.',
      DISABLE,
    )
  noteNewColumns(notes, 'key', subject, key)
  noteUnmapped(notes, 'key', subject, { ...budgets.get(key.budget_id ?? ''), ...withoutNulls(key) })
  const expires = expiryOf(key)
  const latest = destination.now + destination.longestLifetimeSeconds * 1000
  if (expires === undefined || expires > latest)
    notes.add('no_end', subject, 'The key ends after the longest lifetime that the policy allows.', LONGER)
  return {
    client_id: clientIdOf(key),
    tenant: home.id,
    scheme: 'sha256',
    hash: key.token,
    lookup: true,
    disabled: key.blocked === true || project?.blocked === true || closed,
    name: subject,
    models: mapped.models,
    adapters: mapped.adapters,
    limits,
    ...(expires !== undefined && expires <= latest && { expires_at: new Date(expires).toISOString() }),
  }
}

const DISABLE = 'If it should not work until then: mintmark key disable <key>.'
const ENABLE = 'If it should work: set its limits, then mintmark key enable <key>.'
const LONGER = 'Its imported secret ends after 180 days: replace it before (mintmark key rotate).'

function obstacleTo(
  key: LiteLLMKey,
  home: Home | undefined,
  now: number,
): { code: string; message: string; cure: string } | undefined {
  const expires = expiryOf(key)
  if (expires !== undefined && expires <= now)
    return { code: 'expired', message: 'the key has expired.', cure: 'Nothing: LiteLLM refuses it as well.' }
  if (key.team_id === DASHBOARD)
    return { code: 'dashboard', message: "a session of LiteLLM's pages.", cure: 'Nothing.' }
  if (!isHashed(key))
    return {
      code: 'not_hashed',
      message: 'the key is not stored as a SHA-256 hash.',
      cure: 'Create a key: mintmark key create.',
    }
  if ((key.allowed_routes ?? []).some(route => !INFERENCE_ROUTES.has(route)))
    return {
      code: 'other_routes',
      message: 'the key is restricted to other routes than those of models (allowed_routes).',
      cure: 'If its holder needs models: mintmark key create.',
    }
  if (home?.held)
    return {
      code: 'team_blocked',
      message: 'its team is blocked, or has a limit of 0, and the tenant is active.',
      cure: SUSPEND,
    }
  if (home) return undefined
  return key.team_id
    ? { code: 'unknown_team', message: 'the team of the key does not exist.', cure: TEAMLESS }
    : { code: 'no_team', message: 'the key has no team.', cure: TEAMLESS }
}

const TEAMLESS = 'Give the keys without a team a tenant: --teamless-tenant <tenant>.'

const withoutNulls = (row: object) =>
  Object.fromEntries(Object.entries(row).filter(([, value]) => value !== null))
