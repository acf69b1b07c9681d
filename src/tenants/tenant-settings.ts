import { nulls, type Patch, type Rights, type Settings, type Values } from './setting.ts'

/** Names of tenants and keys for people. */
export const NAMING = {
  name: {
    form: { kind: 'text', longest: 200 },
    details: 'Display name. It need not be unique.',
    option: { flag: '--name <text>', help: 'display name; need not be unique' },
  },
  description: {
    form: { kind: 'text', longest: 1000 },
    details: 'Free text for operators.',
    option: { flag: '--description <text>', help: 'free text for operators' },
  },
} as const satisfies Settings

/** Who answers for a tenant or a key. */
export const OWNERSHIP = {
  contact: {
    form: { kind: 'text', longest: 200 },
    details: 'Person or team that is responsible, as an address that reaches them.',
    whenNull: 'none',
    option: { flag: '--contact <text>', help: 'person or team that is responsible' },
  },
  escalation: {
    form: { kind: 'text', longest: 200 },
    details: 'Whom to reach when the contact does not answer.',
    whenNull: 'none',
    option: { flag: '--escalation <text>', help: 'whom to reach when the contact does not answer' },
  },
} as const satisfies Settings

export const LABELLING = {
  labels: {
    form: { kind: 'labels' },
    details: 'Labels for filters and for other systems: at most 32 names with values.',
    option: { flag: '--label <name=value>', help: 'label to filter by' },
  },
} as const satisfies Settings

/** The settings of a tenant. Lists are upper bounds: a key can only restrict them. */
export const TENANT_SETTINGS = {
  ...NAMING,
  /** One of `allowedTiers`. */
  tier: {
    form: { kind: 'name', of: 'tier' },
    details: "Tier of the tenant's keys that have no tier of their own. It is one of `allowed_tiers`.",
    right: true,
    option: { flag: '--tier <name>', help: 'tier of keys that have none of their own' },
  },
  allowedTiers: {
    form: { kind: 'registered', of: 'tier' },
    details: "Tiers that the tenant's keys may have. `tier` is always one of them.",
    right: true,
    option: { flag: '--allow-tier <name>', help: 'tier that its keys may have; --tier is always allowed' },
  },
  scopes: {
    form: { kind: 'list', of: 'scope' },
    details: "Scopes that the tenant's keys may have.",
    right: true,
    option: { flag: '--scope <name>', help: 'scope that its keys may have' },
  },
  models: {
    form: { kind: 'registered', of: 'model' },
    details: "Base models that the tenant's keys may use.",
    whenNull: 'every registered base model',
    right: true,
    option: { flag: '--model <name>', help: 'base model that its keys may use' },
    emptied: { flag: '--no-model', help: 'no base model' },
  },
  adapters: {
    form: { kind: 'registered', of: 'adapter' },
    details: "LoRA adapters that the tenant's keys may use.",
    right: true,
    option: { flag: '--adapter <name>', help: 'LoRA adapter that its keys may use' },
    emptied: { flag: '--no-adapter', help: 'no adapter' },
  },
  audiences: {
    form: { kind: 'list', of: 'audience' },
    details: "Audiences of the tenant's tokens. The first is the default.",
    right: true,
    option: { flag: '--audience <name>', help: 'audience of its tokens; the first is the default' },
  },
  tokenTtlSeconds: {
    form: { kind: 'whole-number', min: 60, max: 3600 },
    details: "Longest lifetime of the tenant's tokens.",
    whenNull: 'MINTMARK_TOKEN_TTL_SECONDS of the service',
    right: true,
    option: { flag: '--token-ttl-seconds <n>', help: 'longest lifetime of its tokens' },
  },
  stalenessSeconds: {
    form: { kind: 'whole-number', min: 5, max: 86_400, orZero: true },
    whenNull: 'MINTMARK_STALENESS_SECONDS of the service',
    details:
      "How long a replica that cannot reach Postgres may exchange the tenant's keys. 0: each exchange queries Postgres.",
    option: {
      flag: '--staleness-seconds <n>',
      help: 'how long a replica without its database may exchange its keys; 0: never',
    },
  },
  /** Applies to keys that are created or given a new end from now on: a minute to ten years. */
  maxKeyLifetimeSeconds: {
    form: { kind: 'whole-number', min: 60, max: 315_360_000 },
    details: 'Longest lifetime of a key, for keys that are created, or get another expiry, from now on.',
    whenNull: 'max_key_lifetime_seconds of the policy',
    option: { flag: '--max-key-lifetime-seconds <n>', help: 'longest lifetime of a new key' },
  },
  limits: {
    form: { kind: 'limits', whenUnset: "the limit of the tenant's tier" },
    details:
      "Limits that all the tenant's keys share. They are in the tokens of these keys, and gateways enforce them.",
    right: true,
    option: { flag: '<n>', help: 'of all its keys together' },
  },
  ...OWNERSHIP,
  ...LABELLING,
} as const satisfies Settings

export type TenantSettings = Values<typeof TENANT_SETTINGS>
export type TenantPatch = Patch<typeof TENANT_SETTINGS>
export type TenantRights = Values<Rights<typeof TENANT_SETTINGS>>

/** Default settings of a tenant. */
export const defaultTenantSettings = (id: string, audience: string): TenantSettings => ({
  ...nulls(TENANT_SETTINGS),
  name: id,
  description: '',
  labels: {},
  limits: {},
  tier: 'standard',
  allowedTiers: [],
  scopes: ['inference'],
  adapters: [],
  audiences: [audience],
})
