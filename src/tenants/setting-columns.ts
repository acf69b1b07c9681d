import { type Limits, toLimits } from './limits.ts'
import {
  entriesOf,
  type Form,
  type Setting,
  type Settings,
  type SnakeCase,
  snakeCase,
  type Value,
  type Values,
} from './setting.ts'

/** The settings that are columns; the others are rows. */
type ColumnSetting = Setting & { form: Exclude<Form, { kind: 'registered' }> }

type InColumns<T extends Settings> = {
  [Name in keyof T & string as T[Name] extends ColumnSetting ? Name : never]: T[Name]
}

export type Column<T extends Settings> = SnakeCase<keyof InColumns<T> & string>

/** Column types for reading a row. */
export type ColumnsRead<T extends Settings> = {
  [Name in keyof InColumns<T> & string as SnakeCase<Name>]: Value<T[Name]>
}

type Written<S extends Setting> = S['form'] extends { kind: 'labels' | 'limits' }
  ? string
  : Writable<Value<S>>
type Writable<V> = V extends readonly string[] ? string[] : V

/** Column types for writing a row. Dates are objects too, and are passed unchanged. */
type ColumnsWritten<T extends Settings> = {
  [Name in keyof InColumns<T> & string as SnakeCase<Name>]: Written<T[Name]>
}

const inColumns = <T extends Settings>(settings: T) =>
  entriesOf(settings).filter(([, { form }]) => form.kind !== 'registered')

export const columnsOf = <T extends Settings>(settings: T): Column<T>[] =>
  inColumns(settings).map(([name]) => snakeCase(name)) as Column<T>[]

export function toColumns<T extends Settings>(settings: T, values: Values<T>): ColumnsWritten<T> {
  const entries = inColumns(settings).map(([name, { form }]) => [
    snakeCase(name),
    written(form, values[name]),
  ])
  return Object.fromEntries(entries) as ColumnsWritten<T>
}

export function fromColumns<T extends Settings>(settings: T, row: ColumnsRead<T>): Values<InColumns<T>> {
  const byColumn = new Map<string, unknown>(Object.entries(row))
  const entries = inColumns(settings).map(([name, { form }]) => [
    name,
    read(form, byColumn.get(snakeCase(name))),
  ])
  return Object.fromEntries(entries) as Values<InColumns<T>>
}

/** jsonb is sent as text, because the driver would send an array as a Postgres array. */
const written = (form: Form, value: unknown): unknown =>
  form.kind === 'labels' || form.kind === 'limits' ? JSON.stringify(value) : value

/** jsonb has an order of names of its own. */
const read = (form: Form, value: unknown): unknown =>
  form.kind === 'limits' ? toLimits(value as Limits) : value
