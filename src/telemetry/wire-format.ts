import { UnreadableReport } from './unreadable-report.ts'

/**
 * The wire format of Protocol Buffers (https://protobuf.dev/programming-guides/encoding), read in place: nothing is
 * built of a field that is not wanted, so the memory of a report does not depend on what is in it.
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

/**
 * The value of a field: a number for a varint (exact up to 2^53; a negative one is above that), otherwise the bytes.
 * @throws {UnreadableReport}
 */
type Visit = (field: number, value: Buffer | number) => void

const endsEarly = () => new UnreadableReport('The report ends early.')

/** Visits each field of a message in order. @throws {UnreadableReport} */
export function eachField(message: Buffer, left: FieldsLeft, visit: Visit): void {
  let at = 0
  const varint = () => {
    let value = 0
    for (let place = 0; place < LONGEST_VARINT; place++) {
      const byte = message[at++]
      if (byte === undefined) throw endsEarly()
      value += (byte & 127) * 128 ** place
      if (byte < 128) return value
    }
    throw new UnreadableReport('The report has an invalid number.')
  }
  const bytes = (length: number) => {
    if (at + length > message.length) throw endsEarly()
    at += length
    return message.subarray(at - length, at)
  }
  while (at < message.length) {
    if (--left.fields < 0) throw new UnreadableReport('The report has too many fields. Send smaller batches.')
    const tag = varint()
    const field = Math.floor(tag / 8)
    const wireType = tag % 8
    if (wireType === VARINT) visit(field, varint())
    else if (wireType === LENGTH_DELIMITED) visit(field, bytes(varint()))
    else if (wireType === EIGHT_BYTES) visit(field, bytes(8))
    else if (wireType === FOUR_BYTES) visit(field, bytes(4))
    else throw new UnreadableReport('The report has an unknown wire type.')
  }
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
