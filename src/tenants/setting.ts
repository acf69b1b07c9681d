import { type Labels, type LabelsPatch, mergedLabels } from './labels.ts'
import { type Limits, type LimitsPatch, mergedLimits } from './limits.ts'

/**
 * A setting of a tenant (tenant-settings.ts) or of a key (api-keys/key-settings.ts), described once. Types, columns
 * (setting-columns.ts), requests and responses of the admin API (admin/setting-fields.ts) and command-line options
 * (cli/setting-options.ts) are derived from it. Its wire and column name is its name in snake case.
 */
export interface Setting {
  form: Form
  /** The meaning of null, in a few words. Absent: it is never null. */
  whenNull?: string
  /** What it is, for the API's document. */
  details: string
  /** Part of what an exchange yields (rights.ts), so every directory has it in memory. */
  right?: true
  option: Option
  /** The option for an empty list. */
  emptied?: Option
}

/** The form of a value that is not null. */
export type Form =
  | { kind: 'text'; longest: number }
  | { kind: 'name'; of: 'tier' }
  | { kind: 'list'; of: 'scope' | 'audience' }
  /** Names that must be registered. They are stored as rows, so that foreign keys protect them. */
  | { kind: 'registered'; of: 'tier' | 'model' | 'adapter' }
  | { kind: 'whole-number'; min: number; max: number; orZero?: true }
  | { kind: 'instant' }
  | { kind: 'labels' }
  /** Four numbers under one name, each with an option of its own. `whenUnset`: the meaning of one that is not set. */
  | { kind: 'limits'; whenUnset: string }

interface Option {
  /** Of limits: what follows the name of each. */
  flag: string
  help: string
}

export type Settings = Readonly<Record<string, Setting>>

/** The settings with their names, in the order of the table. */
export const entriesOf = <T extends Settings>(settings: T) =>
  Object.entries(settings) as [name: keyof T & string, setting: Setting][]

type Plain<F extends Form> = F extends { kind: 'text' | 'name' }
  ? string
  : F extends { kind: 'list' | 'registered' }
    ? readonly string[]
    : F extends { kind: 'whole-number' }
      ? number
      : F extends { kind: 'instant' }
        ? Date
        : F extends { kind: 'limits' }
          ? Limits
          : Labels

export type Value<S extends Setting> = Plain<S['form']> | (S extends { whenNull: string } ? null : never)
export type Values<T extends Settings> = { [Name in keyof T]: Value<T[Name]> }

/** A change (RFC 7396): absent settings are kept, null resets one to its default; labels and limits change one by one. */
export type Patch<T extends Settings> = { readonly [Name in keyof T]?: PatchValue<T[Name]> }
type PatchValue<S extends Setting> = S['form'] extends { kind: 'labels' }
  ? LabelsPatch
  : S['form'] extends { kind: 'limits' }
    ? LimitsPatch
    : Value<S> | null

export function patched<T extends Settings>(
  settings: T,
  before: Values<T>,
  patch: Patch<T>,
  defaults: Values<T>,
): Values<T> {
  const after = entriesOf(settings).map(([name, { form }]) => {
    const given = patch[name]
    if (given === undefined) return [name, before[name]]
    if (form.kind === 'labels') return [name, mergedLabels(before[name] as Labels, given as LabelsPatch)]
    if (form.kind === 'limits') return [name, mergedLimits(before[name] as Limits, given as LimitsPatch)]
    return [name, given === null ? defaults[name] : given]
  })
  return Object.fromEntries(after) as Values<T>
}

/** Picks the settings out of a larger object. */
export const settingsOf = <T extends Settings>(settings: T, whole: Values<T>): Values<T> =>
  Object.fromEntries(entriesOf(settings).map(([name]) => [name, whole[name]])) as Values<T>

type Nullable<T extends Settings> = {
  [Name in keyof T as T[Name] extends { whenNull: string } ? Name : never]: null
}

/** Null for each nullable setting: the defaults of a new object. */
export const nulls = <T extends Settings>(settings: T): Nullable<T> =>
  Object.fromEntries(
    entriesOf(settings).flatMap(([name, { whenNull }]) => (whenNull === undefined ? [] : [[name, null]])),
  ) as Nullable<T>

/** The settings that are rights. */
export type Rights<T extends Settings> = {
  [Name in keyof T as T[Name] extends { right: true } ? Name : never]: T[Name]
}

export const rightsAmong = <T extends Settings>(settings: T): Rights<T> =>
  Object.fromEntries(entriesOf(settings).filter(([, { right }]) => right)) as Rights<T>

export type SnakeCase<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : ''

export const snakeCase = (name: string): string =>
  name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`)

type InSnakeCase<T> = { [Name in keyof T & string as SnakeCase<Name>]: T[Name] }

/** Values under their wire names. */
export const inSnakeCase = <T extends object>(values: T): InSnakeCase<T> =>
  Object.fromEntries(
    Object.entries(values).map(([name, value]) => [snakeCase(name), value]),
  ) as InSnakeCase<T>

/** A change as sent over the wire. An absent setting is missing or undefined. */
export type WirePatch<T extends Settings> = {
  readonly [Name in keyof T & string as SnakeCase<Name>]?: PatchValue<T[Name]> | undefined
}

export function fromWire<T extends Settings>(settings: T, given: WirePatch<T>): Patch<T> {
  const byName = new Map<string, unknown>(Object.entries(given))
  const named = Object.keys(settings).map(name => [name, byName.get(snakeCase(name))] as const)
  return Object.fromEntries(named.filter(([, value]) => value !== undefined)) as Patch<T>
}
