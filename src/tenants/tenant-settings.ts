import { nulls, type Patch, type Rights, type Settings, type Values } from './setting.ts'

/** Names of tenants and keys for people. */
export const NAMING = {
  name: {
    form: { kind: 'text', longest: 200 },
    option: { flag: '--name <text>', help: 'for people; need not be unique' },
  },
  description: {
    form: { kind: 'text', longest: 1000 },
    option: { flag: '--description <text>', help: 'what it is for' },
  },
} as const satisfies Settings

export const LABELLING = {
  labels: {
    form: { kind: 'labels' },
    option: { flag: '--label <name=value>', help: 'a label of your own' },
  },
} as const satisfies Settings

/** The settings of a tenant. Lists are upper bounds: a key can only restrict them. */
export const TENANT_SETTINGS = {
  ...NAMING,
  /** One of `allowedTiers`. */
  tier: {
    form: { kind: 'name', of: 'tier' },
    right: true,
    option: { flag: '--tier <name>', help: 'the tier of keys that have none of their own' },
  },
  allowedTiers: {
    form: { kind: 'registered', of: 'tier' },
    right: true,
    option: { flag: '--allow-tier <name>', help: 'a tier that its keys may have, --tier among them' },
  },
  scopes: {
    form: { kind: 'list', of: 'scope' },
    right: true,
    option: { flag: '--scope <name>', help: 'a scope that its keys may have' },
  },
  models: {
    form: { kind: 'registered', of: 'model' },
    whenNull: 'every registered base model',
    right: true,
    option: { flag: '--model <name>', help: 'a base model that it may use' },
    emptied: { flag: '--no-model', help: 'no base model at all' },
  },
  adapters: {
    form: { kind: 'registered', of: 'adapter' },
    right: true,
    option: { flag: '--adapter <name>', help: 'a LoRA adapter that it may use' },
    emptied: { flag: '--no-adapter', help: 'no adapter at all' },
  },
  audiences: {
    form: { kind: 'list', of: 'audience' },
    details: 'The first is the default.',
    right: true,
    option: { flag: '--audience <name>', help: 'an audience of its tokens; the first is the default' },
  },
  tokenTtlSeconds: {
    form: { kind: 'whole-number', min: 60, max: 3600 },
    whenNull: "the policy's",
    right: true,
    option: { flag: '--token-ttl-seconds <n>', help: 'longest lifetime of its tokens' },
  },
  stalenessSeconds: {
    form: { kind: 'whole-number', min: 5, max: 86_400, orZero: true },
    whenNull: "the policy's",
    details: "null: the policy's; 0: each exchange asks Postgres.",
    option: {
      flag: '--staleness-seconds <n>',
      help: 'how long a cut-off replica honours its keys; 0: never',
    },
  },
  /** Applies to keys that are created or given a new end from now on: a minute to ten years. */
  maxKeyLifetimeSeconds: {
    form: { kind: 'whole-number', min: 60, max: 315_360_000 },
    whenNull: "the policy's",
    option: { flag: '--max-key-lifetime-seconds <n>', help: 'longest lifetime of a new key' },
  },
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
  tier: 'standard',
  allowedTiers: [],
  scopes: ['inference'],
  adapters: [],
  audiences: [audience],
})
