import { isDeepStrictEqual } from 'node:util'
import { declarableFields } from '../../admin/sets/declarations.ts'
import { defaultKeySettings } from '../../api-keys/key-settings.ts'
import type { SetKind } from '../../sets/set-object.ts'
import { allLimits } from '../../tenants/limits.ts'
import { inSnakeCase } from '../../tenants/setting.ts'
import { defaultTenantSettings } from '../../tenants/tenant-settings.ts'
import { path } from '../admin-client.ts'

// biome-ignore lint/suspicious/noExplicitAny: each kind has its own fields, which schemas have checked
export type Fields = Record<string, any>

/** How a kind of object is read and compared. Settings are under their names in the API. */
export interface Kind {
  list: string
  path(id: string): string
  /** Fields that only a deletion and a new object can change. */
  fixed: readonly string[]
  /**
   * All settings that a declaration sets: what it lacks has its default. A setting whose default is not known here is left
   * out, and is then not compared.
   */
  wanted(declared: Fields): Fields
  /** The same settings of an object of the installation. */
  settings(live: Fields): Fields
}

const omit = (fields: Fields, ...names: readonly string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)))
const withLimits = (fields: Fields): Fields => ({ ...fields, limits: allLimits(fields.limits ?? {}) })
/** What of an object can be declared. */
const declarable = (kind: SetKind, live: Fields, ...except: readonly string[]): Fields =>
  Object.fromEntries(
    declarableFields(kind)
      .filter(name => name in live && !except.includes(name))
      .map(name => [name, live[name]]),
  )

export const KINDS: Record<SetKind, Kind> = {
  tier: {
    list: '/tiers',
    path: name => path`/tiers/${name}`,
    fixed: [],
    wanted: declared => withLimits({ description: '', ...omit(declared, 'name') }),
    settings: live => declarable('tier', live, 'name'),
  },
  model: {
    list: '/models',
    path: name => path`/models/${name}`,
    fixed: [],
    wanted: declared => ({ description: '', max_model_len: null, ...omit(declared, 'name') }),
    settings: live => declarable('model', live, 'name'),
  },
  adapter: {
    list: '/adapters',
    path: name => path`/adapters/${name}`,
    fixed: [],
    wanted: declared => ({ description: '', max_model_len: null, ...omit(declared, 'name') }),
    settings: live => declarable('adapter', live, 'name'),
  },
  tenant: {
    list: '/tenants',
    path: id => path`/tenants/${id}`,
    fixed: [],
    wanted: declared => {
      // The default audience is a variable of the service.
      const defaults = omit(inSnakeCase(defaultTenantSettings(declared.id, '')), 'audiences')
      const fields: Fields = { ...defaults, suspended: false, ...omit(declared, 'id') }
      return withLimits({ ...fields, allowed_tiers: declared.allowed_tiers ?? [fields.tier] })
    },
    settings: live => ({
      ...declarable('tenant', live, 'id'),
      suspended: live.state === 'suspended',
    }),
  },
  'identity-provider': {
    list: '/identity-providers',
    path: id => path`/identity-providers/${id}`,
    fixed: ['kind', 'issuer'],
    wanted: declared => omit(declared, 'renamed_from'),
    settings: live => declarable('identity-provider', live),
  },
  'usage-reporter': {
    list: '/usage-reporters',
    path: id => path`/usage-reporters/${id}`,
    // A change of the audiences is another reporter: reporter-steps.ts.
    fixed: [],
    wanted: declared => omit(declared, 'write_secret'),
    settings: live => declarable('usage-reporter', live),
  },
  key: {
    list: '/keys',
    path: id => path`/keys/${id}`,
    fixed: [],
    wanted: declared => {
      // The latest end depends on the policy, and on when the key was created.
      const defaults = omit(inSnakeCase(defaultKeySettings(null)), 'expires_at')
      const own = omit(declared, 'tenant', 'renamed_from', 'credentials', 'write_secret')
      return withLimits({ ...defaults, disabled: false, ...own })
    },
    settings: live => ({
      ...Object.fromEntries(KEY_FIELDS.map(name => [name, live[name]])),
      disabled: live.disabled_at !== null,
    }),
  },
}

const KEY_FIELDS = Object.keys(inSnakeCase(defaultKeySettings(null)))

/** A setting that differs. */
export interface Change {
  field: string
  from: unknown
  to: unknown
}

/** What has to change so that the live settings are as wanted, in the order of `wanted`. */
export const changesBetween = (live: Fields, wanted: Fields): Change[] =>
  Object.entries(wanted).flatMap(([field, to]) =>
    isDeepStrictEqual(plain(live[field]), plain(to)) ? [] : [{ field, from: live[field], to }],
  )

const plain = (value: unknown): unknown => (value === undefined ? null : JSON.parse(JSON.stringify(value)))

/** The changes as a merge patch (RFC 7396): a label that is not wanted any more is null. */
export const patchOf = (changes: readonly Change[]): Fields =>
  Object.fromEntries(
    changes.map(({ field, from, to }) => {
      if (field !== 'labels') return [field, to]
      const gone = Object.keys((from ?? {}) as object).filter(name => !(name in (to as object)))
      return [field, { ...(to as object), ...Object.fromEntries(gone.map(name => [name, null])) }]
    }),
  )
