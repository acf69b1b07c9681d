import { delimitedField, eachField, type FieldsLeft, numberField } from '../http/protobuf.ts'

/**
 * `CheckRequest` and `CheckResponse` of Envoy's data-plane API (envoy/service/auth/v3/external_auth.proto and
 * attribute_context.proto, envoy/config/core/v3/base.proto): only the fields that are read or written here, under their
 * numbers. Other fields that Envoy sends are skipped.
 */

/** Envoy accepts 100 headers unless it is configured otherwise; each takes three fields, or four. */
const MOST_FIELDS = 4_000
const EMPTY: Buffer = Buffer.alloc(0)

export interface CheckRequestMessage {
  /** The address of the gateway's client, as the gateway reports it. */
  source: string
  path: string
  /** Names and values in order: of the header map, which has repeats apart, otherwise of the joined headers. */
  headers: (readonly [name: string, value: string])[]
  body: Buffer
}

/** @throws {UnreadableMessage} */
export function readCheckRequest(message: Buffer): CheckRequestMessage {
  const left: FieldsLeft = { fields: MOST_FIELDS }
  const read = { source: '', path: '', body: EMPTY, rawBody: EMPTY }
  const joined: CheckRequestMessage['headers'] = []
  const apart: CheckRequestMessage['headers'] = []
  const http = fieldsOf(left, {
    3: entry => joined.push(headerOf(entry, left)),
    4: path => {
      read.path = path.toString()
    },
    11: body => {
      read.body = body
    },
    12: body => {
      read.rawBody = body
    },
    13: fieldsOf(left, { 1: header => apart.push(headerOf(header, left)) }),
  })
  const address = (value: Buffer) => {
    read.source = value.toString()
  }
  const source = fieldsOf(left, { 1: fieldsOf(left, { 1: fieldsOf(left, { 2: address }) }) })
  const attributes = fieldsOf(left, { 1: source, 4: fieldsOf(left, { 2: http }) })
  fieldsOf(left, { 1: attributes })(message)
  return {
    source: read.source,
    path: read.path,
    headers: apart.length > 0 ? apart : joined,
    body: read.rawBody.length > 0 ? read.rawBody : read.body,
  }
}

type ReadField = (value: Buffer) => unknown

/** Reads the fields of these numbers. */
const fieldsOf =
  (left: FieldsLeft, readers: Readonly<Record<number, ReadField>>): ReadField =>
  message =>
    eachField(message, left, (field, value) => readers[field]?.(value))

/** An entry of the map `headers`, or a `HeaderValue`, which may have its value in bytes. */
function headerOf(message: Buffer, left: FieldsLeft): readonly [string, string] {
  let name = ''
  let value = ''
  let rawValue = ''
  eachField(message, left, (field, bytes) => {
    if (field === 1) name = bytes.toString()
    else if (field === 2) value = bytes.toString()
    else if (field === 3) rawValue = bytes.toString('latin1')
  })
  return [name, value || rawValue]
}

/** Statuses of gRPC that a `CheckResponse` has. */
type CheckStatus = 0 | 7 | 16

/** Each header replaces one of the same name that the client sent. `metadata`: a `google.protobuf.Struct`. */
export function okResponse(
  headers: Readonly<Record<string, string>>,
  toRemove: readonly string[],
  metadata: Buffer,
): Buffer {
  const fields = [...headerOptions(2, headers), ...toRemove.map(name => delimitedField(5, name))]
  return Buffer.concat([
    checkResponse(0, delimitedField(3, Buffer.concat(fields))),
    delimitedField(4, metadata),
  ])
}

/** `httpStatus`: what the gateway's client receives. `metadata`: a `google.protobuf.Struct`. */
export function deniedResponse(
  status: CheckStatus,
  httpStatus: number,
  headers: Readonly<Record<string, string>>,
  body: string,
  metadata: Buffer,
): Buffer {
  const fields = [
    delimitedField(1, numberField(1, httpStatus)),
    ...headerOptions(2, headers),
    delimitedField(3, body),
  ]
  return Buffer.concat([
    checkResponse(status, delimitedField(2, Buffer.concat(fields))),
    delimitedField(4, metadata),
  ])
}

const checkResponse = (status: CheckStatus, httpResponse: Buffer) =>
  Buffer.concat([delimitedField(1, numberField(1, status)), httpResponse])

/** `append` is a message with false: Envoy appends when it is left out. */
const headerOptions = (field: number, headers: Readonly<Record<string, string>>) =>
  Object.entries(headers).map(([key, value]) => {
    const header = Buffer.concat([delimitedField(1, key), delimitedField(2, value)])
    return delimitedField(
      field,
      Buffer.concat([delimitedField(1, header), delimitedField(2, numberField(1, 0))]),
    )
  })
