import { nulls, type Patch, patched, type Settings, type Values } from '../tenants/setting.ts'
import { LABELLING, NAMING, OWNERSHIP } from '../tenants/tenant-settings.ts'

/** The settings of a key. Rights restrict the tenant's; null inherits them. */
export const KEY_SETTINGS = {
  ...NAMING,
  tier: {
    form: { kind: 'name', of: 'tier' },
    details: "Tier of the key: one of the tenant's allowed tiers.",
    whenNull: 'inherited from the tenant',
    right: true,
    option: { flag: '--tier <name>', help: "one of the tenant's allowed tiers" },
  },
  scopes: {
    form: { kind: 'list', of: 'scope' },
    details: "Scopes of the key: a subset of the tenant's scopes.",
    right: true,
    option: { flag: '--scope <name>', help: "one of the tenant's scopes" },
  },
  models: {
    form: { kind: 'registered', of: 'model' },
    details: "Base models of the key: a subset of the tenant's base models.",
    whenNull: 'inherited from the tenant',
    right: true,
    option: { flag: '--model <name>', help: "one of the tenant's base models" },
    emptied: { flag: '--no-model', help: 'no base model' },
  },
  adapters: {
    form: { kind: 'registered', of: 'adapter' },
    details: "LoRA adapters of the key: a subset of the tenant's adapters.",
    whenNull: 'inherited from the tenant',
    right: true,
    option: { flag: '--adapter <name>', help: "one of the tenant's adapters" },
    emptied: { flag: '--no-adapter', help: 'no adapter' },
  },
  audiences: {
    form: { kind: 'list', of: 'audience' },
    details: "Audiences of the key: a subset of the tenant's audiences. The first is the default.",
    whenNull: 'inherited from the tenant',
    right: true,
    option: { flag: '--audience <name>', help: "one of the tenant's audiences; the first is the default" },
  },
  tokenTtlSeconds: {
    form: { kind: 'whole-number', min: 60, max: 3600 },
    details: "Longest lifetime of the key's tokens. The tenant's limit applies too.",
    whenNull: 'inherited from the tenant',
    right: true,
    option: { flag: '--token-ttl-seconds <n>', help: 'longest lifetime of its tokens' },
  },
  limits: {
    form: { kind: 'limits', whenUnset: 'no limit of its own' },
    details:
      "The key's own limits, within those of the tenant. They are in its tokens, and gateways enforce them.",
    right: true,
    option: { flag: '<n>', help: "of this key, inside its tenant's limit" },
  },
  expiresAt: {
    form: { kind: 'instant' },
    whenNull: 'never',
    details:
      'Time of expiry. Default: the longest lifetime that is allowed. A key that never expires is accepted only if the policy has `unending_keys_allowed`.',
    option: {
      flag: '--expires-at <time>',
      help: 'time of expiry, like 90d or 2027-01-31, or "never" where the policy allows it',
    },
  },
  contact: { ...OWNERSHIP.contact, whenNull: "the tenant's" },
  escalation: { ...OWNERSHIP.escalation, whenNull: "the tenant's" },
  ...LABELLING,
} as const satisfies Settings

export type ApiKeySettings = Values<typeof KEY_SETTINGS>

/** A change to a key. Null has a meaning for the end only: never. */
export type KeyPatch = Patch<typeof KEY_SETTINGS>

/** Default settings of a key: it inherits all its tenant's rights, until `expiresAt`. */
export const defaultKeySettings = (expiresAt: Date | null): ApiKeySettings => ({
  ...nulls(KEY_SETTINGS),
  name: '',
  description: '',
  labels: {},
  limits: {},
  scopes: ['inference'],
  expiresAt,
})

export const patchedSettings = (before: ApiKeySettings, patch: KeyPatch): ApiKeySettings =>
  patched(KEY_SETTINGS, before, patch, defaultKeySettings(null))
