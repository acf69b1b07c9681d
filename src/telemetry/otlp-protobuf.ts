import type { AttributeValue, ReportedRecord } from '../usage/usage-record.ts'
import {
  LONGEST_VALUE,
  MOST_ATTRIBUTES,
  MOST_GROUPS,
  MOST_MEMBERS,
  MOST_RECORDS,
  tooManyGroups,
  UnreadableReport,
} from './unreadable-report.ts'
import { eachField, type FieldsLeft, lengthOf, type Span, textOf, wholeOf } from './wire-format.ts'

/**
 * Reads an ExportLogsServiceRequest (opentelemetry-proto 1.x, collector/logs/v1, logs/v1, common/v1). Field numbers
 * never change once published. Bodies, trace ids and nested values are skipped.
 */

/** Some eighty for each record of a full report, which is what a gateway with twenty attributes sends. */
const MOST_FIELDS = 800_000

const REQUEST = { resourceLogs: 1 }
const RESOURCE_LOGS = { resource: 1, scopeLogs: 2 }
const RESOURCE = { attributes: 1 }
const SCOPE_LOGS = { logRecords: 2 }
const LOG_RECORD = { timeUnixNano: 1, attributes: 6, observedTimeUnixNano: 11 }
const KEY_VALUE = { key: 1, value: 2 }
const ANY_VALUE = { string: 1, bool: 2, int: 3, double: 4, array: 5 }
const ARRAY_VALUE = { values: 1 }

/**
 * Finds the records, and returns a reader of each: only one record at a time has its attributes in memory. Attributes that are not wanted are not
 * kept. @throws {UnreadableReport} the readers too
 */
export function recordsInProtobuf(message: Buffer, wanted: ReadonlySet<string>): (() => ReportedRecord)[] {
  const left: FieldsLeft = { fields: MOST_FIELDS }
  const records: (() => ReportedRecord)[] = []
  let groups = 0
  const group = () => {
    if (++groups > MOST_GROUPS) throw tooManyGroups()
  }
  each(wholeOf(message), left, REQUEST.resourceLogs, resourceLogs => {
    group()
    const shared = new Map<string, AttributeValue>()
    let count = 0
    const scopes: Span[] = []
    eachField(resourceLogs, left, (field, value) => {
      if (typeof value === 'number') return
      if (field === RESOURCE_LOGS.resource)
        each(value, left, RESOURCE.attributes, pair => {
          bound(++count)
          readAttribute(pair, left, shared, wanted)
        })
      if (field !== RESOURCE_LOGS.scopeLogs) return
      group()
      scopes.push(value)
    })
    for (const scope of scopes)
      each(scope, left, SCOPE_LOGS.logRecords, record => {
        if (records.length >= MOST_RECORDS)
          throw new UnreadableReport(
            `The report has more than ${MOST_RECORDS} records. Send smaller batches.`,
          )
        records.push(() => readRecord(record, left, shared, wanted))
      })
  })
  return records
}

function readRecord(
  message: Span,
  left: FieldsLeft,
  shared: ReadonlyMap<string, AttributeValue>,
  wanted: ReadonlySet<string>,
): ReportedRecord {
  const attributes = new Map(shared)
  let [time, observed, count] = [0, 0, 0]
  eachField(message, left, (field, value) => {
    if (typeof value === 'number') return
    if (field === LOG_RECORD.timeUnixNano) time = milliseconds(value)
    else if (field === LOG_RECORD.observedTimeUnixNano) observed = milliseconds(value)
    else if (field === LOG_RECORD.attributes) {
      bound(++count)
      readAttribute(value, left, attributes, wanted)
    }
  })
  return { at: time || observed || undefined, attributes }
}

/** Of a record or a resource. */
function bound(attributes: number): void {
  if (attributes > MOST_ATTRIBUTES)
    throw new UnreadableReport(
      `A record has more than ${MOST_ATTRIBUTES} attributes. Remove some in the gateway or Collector.`,
    )
}

function readAttribute(
  message: Span,
  left: FieldsLeft,
  into: Map<string, AttributeValue>,
  wanted: ReadonlySet<string>,
): void {
  let name = ''
  let any: Span | undefined
  eachField(message, left, (field, value) => {
    if (typeof value === 'number') return
    if (field === KEY_VALUE.key) name = lengthOf(value) > LONGEST_VALUE ? '' : textOf(value)
    if (field === KEY_VALUE.value) any = value
  })
  const value = any && wanted.has(name) ? anyValue(any, left) : undefined
  if (value !== undefined) into.set(name, value)
}

function anyValue(message: Span, left: FieldsLeft): AttributeValue | undefined {
  let found: AttributeValue | undefined
  eachField(message, left, (field, value) => {
    if (typeof value === 'number') {
      if (field === ANY_VALUE.bool) found = value === 1
      if (field === ANY_VALUE.int) found = value
    } else if (field === ANY_VALUE.string) {
      if (lengthOf(value) <= LONGEST_VALUE) found = textOf(value)
    } else if (field === ANY_VALUE.double)
      found = lengthOf(value) === 8 ? value.in.readDoubleLE(value.from) : undefined
    else if (field === ANY_VALUE.array) found = textsIn(value, left)
  })
  return found
}

function textsIn(message: Span, left: FieldsLeft): string[] {
  const texts: string[] = []
  each(message, left, ARRAY_VALUE.values, member =>
    each(member, left, ANY_VALUE.string, text => {
      if (texts.length < MOST_MEMBERS && lengthOf(text) <= LONGEST_VALUE) texts.push(textOf(text))
    }),
  )
  return texts
}

/** Visits the fields with this number that have bytes. */
function each(message: Span, left: FieldsLeft, wanted: number, visit: (value: Span) => void): void {
  eachField(message, left, (field, value) => {
    if (field === wanted && typeof value !== 'number') visit(value)
  })
}

/** Nanoseconds in a fixed64, as milliseconds. */
const milliseconds = (value: Span): number =>
  lengthOf(value) === 8 ? Number(value.in.readBigUInt64LE(value.from) / 1_000_000n) : 0
