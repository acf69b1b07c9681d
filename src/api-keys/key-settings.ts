import { nulls, type Patch, patched, type Settings, type Values } from '../tenants/setting.ts'
import { LABELLING, NAMING } from '../tenants/tenant-settings.ts'

/** The settings of a key. Rights restrict the tenant's; null inherits them. */
export const KEY_SETTINGS = {
  ...NAMING,
  tier: {
    form: { kind: 'name', of: 'tier' },
    whenNull: "the tenant's",
    right: true,
    option: { flag: '--tier <name>', help: "a tier of the tenant's allowed ones" },
  },
  scopes: {
    form: { kind: 'list', of: 'scope' },
    right: true,
    option: { flag: '--scope <name>', help: "a scope of the tenant's" },
  },
  models: {
    form: { kind: 'registered', of: 'model' },
    whenNull: "the tenant's",
    right: true,
    option: { flag: '--model <name>', help: "a base model of the tenant's" },
    emptied: { flag: '--no-model', help: 'no base model at all' },
  },
  adapters: {
    form: { kind: 'registered', of: 'adapter' },
    whenNull: "the tenant's",
    right: true,
    option: { flag: '--adapter <name>', help: "an adapter of the tenant's" },
    emptied: { flag: '--no-adapter', help: 'no adapter at all' },
  },
  audiences: {
    form: { kind: 'list', of: 'audience' },
    whenNull: "the tenant's",
    right: true,
    option: { flag: '--audience <name>', help: "an audience of the tenant's; the first is the default" },
  },
  tokenTtlSeconds: {
    form: { kind: 'whole-number', min: 60, max: 3600 },
    whenNull: "the tenant's",
    right: true,
    option: { flag: '--token-ttl-seconds <n>', help: 'longest lifetime of its tokens' },
  },
  expiresAt: {
    form: { kind: 'instant' },
    whenNull: 'never',
    details: 'null: never, where the policy allows it.',
    option: {
      flag: '--expires-at <time>',
      help: 'when it ends, like 2027-01-31T12:00:00Z, or "never" where the policy allows it',
    },
  },
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
  scopes: ['inference'],
  expiresAt,
})

export const patchedSettings = (before: ApiKeySettings, patch: KeyPatch): ApiKeySettings =>
  patched(KEY_SETTINGS, before, patch, defaultKeySettings(null))
