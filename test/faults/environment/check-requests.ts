import { delimitedField } from '../../../src/http/protobuf.ts'

export const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check'
export const HEALTH_PATH = '/grpc.health.v1.Health/Check'
export const WATCH_PATH = '/grpc.health.v1.Health/Watch'

export const GRPC_HEADERS = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' }

/** The prefix of a message of this length. */
export function prefix(length: number, compressed = false): Buffer {
  const bytes = Buffer.alloc(5)
  bytes[0] = compressed ? 1 : 0
  bytes.writeUInt32BE(length, 1)
  return bytes
}

/** Of the list of models, with this credential. */
export const honestCheck = (secret: string): Buffer =>
  checkMessage(delimitedField(4, '/v1/models'), headerEntry('authorization', `Bearer ${secret}`))

export function checkMessage(...http: Buffer[]): Buffer {
  const message = delimitedField(1, delimitedField(4, delimitedField(2, Buffer.concat(http))))
  return Buffer.concat([prefix(message.length), message])
}

const headerEntry = (name: string, value: string) =>
  delimitedField(3, Buffer.concat([delimitedField(1, name), delimitedField(2, value)]))
