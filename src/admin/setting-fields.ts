import { z } from 'zod'
import {
  entriesOf,
  type Form,
  type Setting,
  type Settings,
  type SnakeCase,
  snakeCase,
  type Value,
} from '../tenants/setting.ts'
import * as answered from './bodies/wire.ts'
import * as field from './fields.ts'

/** The request and response fields of settings of a tenant or a key (tenants/setting.ts). */

type Fields<T extends Settings> = {
  [Name in keyof T & string as SnakeCase<Name>]: z.ZodType<Value<T[Name]>>
}

/** The schemas for requests, with all fields. */
export const sentFields = <T extends Settings>(settings: T): Fields<T> => fields(settings, sent)

/** The schemas for responses. */
export const answeredFields = <T extends Settings>(settings: T): Fields<T> => fields(settings, shown)

function fields<T extends Settings>(settings: T, plain: (form: Form) => z.ZodType): Fields<T> {
  const shape = entriesOf(settings).map(([name, setting]) => [snakeCase(name), fieldOf(setting, plain)])
  return Object.fromEntries(shape) as Fields<T>
}

function fieldOf({ form, whenNull, details }: Setting, plain: (form: Form) => z.ZodType): z.ZodType {
  const schema = whenNull === undefined ? plain(form) : plain(form).nullable()
  return schema.describe(whenNull === undefined ? details : `${details} null: ${whenNull}.`)
}

function sent(form: Form): z.ZodType {
  switch (form.kind) {
    case 'text':
      return field.text(form.longest)
    case 'name':
      return field.tierName
    case 'list':
      return form.of === 'scope' ? field.scopes : field.audiences
    case 'registered':
      return { tier: field.tierNames, model: field.modelNames, adapter: field.adapterNames }[form.of]
    case 'whole-number':
      return form.orZero ? field.wholeNumberOrZero(form.min, form.max) : field.wholeNumber(form.min, form.max)
    case 'instant':
      return field.instant
    case 'labels':
      return field.labels
  }
}

function shown(form: Form): z.ZodType {
  switch (form.kind) {
    case 'text':
    case 'name':
      return z.string()
    case 'list':
    case 'registered':
      return answered.names
    case 'whole-number':
      return z.int()
    case 'instant':
      return answered.instant
    case 'labels':
      return answered.labels
  }
}
