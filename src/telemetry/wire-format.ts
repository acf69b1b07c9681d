import { UnreadableReport } from './unreadable-report.ts'

/**
 * The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding), read in place: nothing is
 * copied of a field that is not wanted, so the memory of a report does not depend on what is in it.
 */

const VARINT = 0
const EIGHT_BYTES = 1
const LENGTH_DELIMITED = 2
const FOUR_BYTES = 5
const LONGEST_VARINT = 10

/** How many more fields are read of one report. */
export interface FieldsLeft {
  fields: number
}

/** Bytes of a report that are not copied: a `Buffer` for each field would cost more than all else of reading it. */
export interface Span {
  in: Buffer
  from: number
  to: number
}

export const wholeOf = (message: Buffer): Span => ({ in: message, from: 0, to: message.length })

export const textOf = (span: Span): string => span.in.toString('utf8', span.from, span.to)

export const lengthOf = (span: Span): number => span.to - span.from

/**
 * The value of a field: a number for a varint (exact up to 2^53; a negative one is above that), otherwise the bytes.
 * @throws {UnreadableReport}
 */
type Visit = (field: number, value: Span | number) => void

/** Visits each field of a message in order. @throws {UnreadableReport} */
export function eachField(message: Span, left: FieldsLeft, visit: Visit): void {
  const at: Place = { in: message.in, from: message.from, to: message.to }
  while (at.from < at.to) {
    if (--left.fields < 0) throw new UnreadableReport('The report has too many fields. Send smaller batches.')
    const tag = varint(at)
    const field = Math.floor(tag / 8)
    const wireType = tag % 8
    if (wireType === VARINT) visit(field, varint(at))
    else if (wireType === LENGTH_DELIMITED) visit(field, bytes(at, varint(at)))
    else if (wireType === EIGHT_BYTES) visit(field, bytes(at, 8))
    else if (wireType === FOUR_BYTES) visit(field, bytes(at, 4))
    else throw new UnreadableReport('The report has an unknown wire type. Send OTLP in protobuf.')
  }
}

/** What is left of a message: `from` moves on. */
type Place = Span

const endsEarly = () => new UnreadableReport('The report ends early.')

function varint(at: Place): number {
  let value = 0
  let scale = 1
  for (let place = 0; place < LONGEST_VARINT; place++) {
    if (at.from >= at.to) throw endsEarly()
    const byte = at.in[at.from++] as number
    value += (byte & 127) * scale
    if (byte < 128) return value
    scale *= 128
  }
  throw new UnreadableReport('The report has an invalid number.')
}

function bytes(at: Place, length: number): Span {
  const { from } = at
  if (from + length > at.to) throw endsEarly()
  at.from += length
  return { in: at.in, from, to: at.from }
}

/** A field with a string or a nested message. */
export function delimitedField(field: number, value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([varintBytes(field * 8 + LENGTH_DELIMITED), varintBytes(bytes.length), bytes])
}

/** A field with a whole number from 0 up. */
export const numberField = (field: number, value: number): Buffer =>
  Buffer.concat([varintBytes(field * 8 + VARINT), varintBytes(value)])

function varintBytes(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  return Buffer.from([...bytes, rest])
}
