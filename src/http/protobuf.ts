/**
 * The wire format of Protocol Buffers, as far as the messages of gateways need it
 * (https://protobuf.dev/programming-guides/encoding). Nothing is built of a field that is not read.
 */

/** A message that is not in the wire format, or has more fields than are read. */
export class UnreadableMessage extends Error {}

/** How many more fields are read of one message, nested ones included. */
export interface FieldsLeft {
  fields: number
}

const VARINT = 0
const EIGHT_BYTES = 1
const LENGTH_DELIMITED = 2
const FOUR_BYTES = 5
const LONGEST_VARINT = 10

/**
 * Visits each length-delimited field in order: messages, strings, bytes; and each varint, exact up to 2^53. Others are
 * skipped. @throws {UnreadableMessage}
 */
export function eachField(
  message: Buffer,
  left: FieldsLeft,
  visit: (field: number, value: Buffer) => void,
  visitNumber: (field: number, value: number) => void = () => {},
): void {
  let at = 0
  /** Exact up to 2^53: more than any tag or length. */
  const varint = () => {
    let value = 0
    for (let place = 0; place < LONGEST_VARINT; place++) {
      const byte = message[at++]
      if (byte === undefined) throw new UnreadableMessage('The message ends early.')
      value += (byte & 127) * 128 ** place
      if (byte < 128) return value
    }
    throw new UnreadableMessage('The message has an invalid number.')
  }
  while (at < message.length) {
    if (--left.fields < 0) throw new UnreadableMessage('The message has too many fields.')
    const tag = varint()
    const wireType = tag % 8
    if (wireType === LENGTH_DELIMITED) {
      const length = varint()
      if (at + length > message.length) throw new UnreadableMessage('The message ends early.')
      visit(Math.floor(tag / 8), message.subarray(at, at + length))
      at += length
    } else if (wireType === VARINT) visitNumber(Math.floor(tag / 8), varint())
    else if (wireType === EIGHT_BYTES) at += 8
    else if (wireType === FOUR_BYTES) at += 4
    else throw new UnreadableMessage('The message has an unknown wire type.')
  }
  if (at > message.length) throw new UnreadableMessage('The message ends early.')
}

/** A field with a string or a nested message. */
export function delimitedField(field: number, value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return Buffer.concat([varintBytes(field * 8 + LENGTH_DELIMITED), varintBytes(bytes.length), bytes])
}

/** A field with a number from 0 up. */
export function numberField(field: number, value: number): Buffer {
  return Buffer.concat([varintBytes(field * 8 + VARINT), varintBytes(value)])
}

/** A field with a double. */
export function doubleField(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([varintBytes(field * 8 + EIGHT_BYTES), bytes])
}

function varintBytes(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest > 127) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  return Buffer.from([...bytes, rest])
}
