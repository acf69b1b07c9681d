import { LIMIT_NAMES } from '../tenants/limits.ts'
import { entriesOf, type Setting, type Settings, snakeCase } from '../tenants/setting.ts'
import {
  emptyList,
  type FieldOption,
  instantOrNever,
  labels,
  limitOptions,
  list,
  seconds,
  text,
  wholeNumber,
} from './field-options.ts'

/** Options for the settings of a tenant or a key (tenants/setting.ts), in the order of their table. */
export const settingOptions = (settings: Settings): FieldOption[] =>
  entriesOf(settings).flatMap(([name, setting]) => {
    const { emptied } = setting
    const field = snakeCase(name)
    const options = optionsOf(field, setting)
    return emptied ? [...options, emptyList(field, emptied.flag, emptied.help)] : options
  })

function optionsOf(field: string, { form, option: { flag, help } }: Setting): FieldOption[] {
  switch (form.kind) {
    case 'text':
    case 'name':
      return [text(field, flag, help)]
    case 'list':
    case 'registered':
      return [list(field, flag, help)]
    case 'whole-number':
      return [field.endsWith('_seconds') ? seconds(field, flag, help) : wholeNumber(field, flag, help)]
    case 'instant':
      return [instantOrNever(field, flag, help)]
    case 'labels':
      return [labels(flag, help)]
    case 'limits':
      return limitOptions({ flag, help })
  }
}

/** Fields for `--unset`: those for which null has a meaning. An instant uses the word "never" instead. */
export const unsettable = (settings: Settings): string[] =>
  entriesOf(settings).flatMap(([name, { form, whenNull }]) =>
    form.kind === 'limits'
      ? LIMIT_NAMES
      : whenNull === undefined || form.kind === 'instant'
        ? []
        : [snakeCase(name)],
  )

/** The text for null, by field or member. */
export const nullTexts = (settings: Settings): Record<string, string> =>
  Object.fromEntries(
    entriesOf(settings).flatMap(([name, { form, whenNull }]) =>
      form.kind === 'limits'
        ? LIMIT_NAMES.map(limit => [`${name}.${limit}`, form.whenUnset])
        : whenNull === undefined
          ? []
          : [[snakeCase(name), whenNull]],
    ),
  )

/** The fields of one form. */
export const fieldsOf = (settings: Settings, kind: Setting['form']['kind']): string[] =>
  entriesOf(settings).flatMap(([name, { form }]) => (form.kind === kind ? [snakeCase(name)] : []))
