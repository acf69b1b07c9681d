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

/**
 * Reads an ExportLogsServiceRequest as JSON (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding): names in
 * lowerCamelCase, 64-bit numbers as text or as numbers, unknown members are ignored.
 */

/** A request has ten levels; nested bodies and attributes are skipped, but parsed. */
const DEEPEST = 32
/** It is parsed as a whole, and then takes many times as much memory: unlike protobuf, which is read record by record. */
const LONGEST_JSON_BYTES = 1_048_576

/** As `recordsInProtobuf`. @throws {UnreadableReport} */
export function recordsInJson(body: Buffer, wanted: ReadonlySet<string>): (() => ReportedRecord)[] {
  if (body.length > LONGEST_JSON_BYTES)
    throw new UnreadableReport(
      `A report in JSON has more than ${LONGEST_JSON_BYTES} bytes. Send smaller batches.`,
    )
  if (depthOf(body) > DEEPEST)
    throw new UnreadableReport(
      `The report is nested more than ${DEEPEST} levels deep. Send OTLP, without deeper values.`,
    )
  const records: (() => ReportedRecord)[] = []
  const resources = listIn(parse(body), 'resourceLogs')
  let groups = resources.length
  if (groups > MOST_GROUPS) throw tooManyGroups()
  for (const resourceLogs of resources) {
    const shared = new Map<string, AttributeValue>()
    readAttributes(memberOf(resourceLogs, 'resource'), shared, wanted)
    const scopes = listIn(resourceLogs, 'scopeLogs')
    groups += scopes.length
    if (groups > MOST_GROUPS) throw tooManyGroups()
    for (const scope of scopes)
      for (const record of listIn(scope, 'logRecords')) {
        if (records.length >= MOST_RECORDS)
          throw new UnreadableReport(
            `The report has more than ${MOST_RECORDS} records. Send smaller batches.`,
          )
        records.push(() => readRecord(record, shared, wanted))
      }
  }
  return records
}

function readRecord(
  record: unknown,
  shared: ReadonlyMap<string, AttributeValue>,
  wanted: ReadonlySet<string>,
): ReportedRecord {
  const attributes = new Map(shared)
  readAttributes(record, attributes, wanted)
  const at =
    milliseconds(memberOf(record, 'timeUnixNano')) || milliseconds(memberOf(record, 'observedTimeUnixNano'))
  return { at: at || undefined, attributes }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    throw new UnreadableReport('The report is not valid JSON. Send OTLP in JSON.')
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPENING = new Set([0x5b, 0x7b])
const CLOSING = new Set([0x5d, 0x7d])

/** Levels of brackets outside strings, found before parsing. */
function depthOf(body: Buffer): number {
  let [depth, deepest, isText] = [0, 0, false]
  for (let at = 0; at < body.length; at++) {
    const byte = body[at] as number
    if (isText) {
      if (byte === BACKSLASH) at++
      else if (byte === QUOTE) isText = false
    } else if (byte === QUOTE) isText = true
    else if (OPENING.has(byte)) deepest = Math.max(deepest, ++depth)
    else if (CLOSING.has(byte)) depth--
  }
  return deepest
}

function readAttributes(
  holder: unknown,
  into: Map<string, AttributeValue>,
  wanted: ReadonlySet<string>,
): void {
  const pairs = listIn(holder, 'attributes')
  if (pairs.length > MOST_ATTRIBUTES)
    throw new UnreadableReport(
      `A record has more than ${MOST_ATTRIBUTES} attributes. Remove some in the gateway or Collector.`,
    )
  for (const pair of pairs) {
    const name = memberOf(pair, 'key')
    if (typeof name !== 'string' || !wanted.has(name)) continue
    const value = anyValue(memberOf(pair, 'value'))
    if (value !== undefined) into.set(name, value)
  }
}

/** As proto3 JSON writes an int64 and a double in text. */
const WHOLE = /^-?\d{1,19}$/
const NUMBER = /^-?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?$/

function anyValue(any: unknown): AttributeValue | undefined {
  const text = memberOf(any, 'stringValue')
  if (typeof text === 'string') return isShort(text) ? text : undefined
  const int = memberOf(any, 'intValue')
  if (typeof int === 'number') return int
  if (typeof int === 'string') return WHOLE.test(int) ? Number(int) : undefined
  const double = memberOf(any, 'doubleValue')
  if (typeof double === 'number') return double
  if (typeof double === 'string') return NUMBER.test(double) ? Number(double) : undefined
  const bool = memberOf(any, 'boolValue')
  if (typeof bool === 'boolean') return bool
  const list = memberOf(any, 'arrayValue')
  if (list === undefined) return undefined
  return listIn(list, 'values')
    .map(member => memberOf(member, 'stringValue'))
    .filter(isShort)
    .slice(0, MOST_MEMBERS)
}

const isShort = (value: unknown): value is string =>
  typeof value === 'string' && Buffer.byteLength(value) <= LONGEST_VALUE

const memberOf = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined

/** @throws {UnreadableReport} when it is set and not a list */
function listIn(value: unknown, name: string): readonly unknown[] {
  const list = memberOf(value, name) ?? []
  if (!Array.isArray(list)) throw new UnreadableReport(`The report has a ${name} that is not a list.`)
  return list
}

/** Nanoseconds as text or as a number, in milliseconds; 0 for anything else. */
function milliseconds(value: unknown): number {
  if (typeof value === 'string') return /^\d{7,20}$/.test(value) ? Number(value.slice(0, -6)) : 0
  return typeof value === 'number' && value > 0 ? Math.floor(value / 1e6) : 0
}
