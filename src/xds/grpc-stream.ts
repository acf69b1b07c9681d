import type { ServerHttp2Stream } from 'node:http2'

/** Whether it is compressed, and the length of a message. */
const PREFIX_BYTES = 5
/** More than a request of a gateway, with the error that it reports. */
const LONGEST_MESSAGE_BYTES = 65_536

/** Answers with a status, without a message. */
export function end(stream: ServerHttp2Stream, status: number, message: string): void {
  const trailers = { 'grpc-status': String(status), 'grpc-message': message }
  stream.respond({ ':status': 200, 'content-type': 'application/grpc', ...trailers }, { endStream: true })
  // The request is not read. A reset right away would be sent before the answer.
  stream.resume()
  setImmediate(() => stream.close())
}

/** One message, not compressed: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
export function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

/** Calls `accept` for each message. One that is too long, or that it does not accept, ends the stream. */
export function receiveMessages(stream: ServerHttp2Stream, accept: (message: Buffer) => boolean): void {
  let held: Buffer = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    for (let next = nextMessage(held); next; next = nextMessage(held)) {
      if (next === 'invalid' || !accept(next)) {
        stream.close()
        return
      }
      held = held.subarray(PREFIX_BYTES + next.length)
    }
  })
  stream.on('end', () => stream.end())
}

/** Undefined: it has not arrived as a whole. */
function nextMessage(held: Buffer): Buffer | 'invalid' | undefined {
  if (held.length < PREFIX_BYTES) return undefined
  const length = held.readUInt32BE(1)
  if (length > LONGEST_MESSAGE_BYTES || held[0] !== 0) return 'invalid'
  return held.length < PREFIX_BYTES + length ? undefined : held.subarray(PREFIX_BYTES, PREFIX_BYTES + length)
}
