import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { handleBody } from './body-turns.ts'
import type { HeldBytes, Holder } from './held-bytes.ts'

/** The statuses of gRPC that calls end with. */
export const STATUS = {
  ok: 0,
  invalidArgument: 3,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const
type Status = (typeof STATUS)[keyof typeof STATUS]

/** A flag for compression, and the length of the message. */
const PREFIX_BYTES = 5
/** What Node keeps of a call that has sent nothing but its headers. Measured: 9 KiB, and the headers. */
const CALL_BYTES = 12_288
const SMALLEST_BUFFER = 1_024
const EMPTY = Buffer.alloc(0)
/** Not application/grpc-web, which is another protocol. */
const IS_GRPC = /^application\/grpc([+;]|$)/i
const CONTENT_TYPE = { ':status': 200, 'content-type': 'application/grpc' }

/** What the messages of a listener may be. */
export interface GrpcMessages {
  /** Bytes of the longest message, as it is sent. */
  longest: number
  /** Bounds what all calls hold together. */
  held: HeldBytes
  /** Messages may be packed with gzip. */
  packed: boolean
}

/**
 * One call of gRPC over HTTP/2 whose request is one message
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
 */
export class GrpcCall implements Holder {
  /** The peer's address. */
  readonly peer: string
  /** True once the whole request has arrived. */
  received = false
  /** True for a call that stays open until its client ends it. */
  watching = false
  /** The message is packed with gzip. Known once it has arrived. */
  isPacked = false
  readonly headers: IncomingHttpHeaders
  readonly #stream: ServerHttp2Stream
  readonly #held: HeldBytes
  readonly #longest: number
  readonly #mayBePacked: boolean
  /** What has arrived, in a buffer that grows: chunks of a few bytes cost no object each. */
  #bytes = EMPTY
  #length = 0

  /** `held` counts the call until its stream has closed. */
  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    options: GrpcMessages & { peer: string },
  ) {
    this.headers = headers
    this.#mayBePacked = options.packed && headers['grpc-encoding'] === 'gzip'
    this.#stream = stream
    this.#held = options.held
    this.#longest = options.longest
    this.peer = options.peer
    stream.once('close', () => this.#release())
    this.#hold(0)
  }

  /**
   * Calls `handle` with the message once the client has ended its half. Anything else is refused here. An error of
   * `handle` ends the call as internal, and is passed to `fail`.
   */
  receive(handle: (message: Buffer) => Promise<void> | undefined, fail: (error: unknown) => void): void {
    const { headers } = this
    const stream = this.#stream
    // Dropped already: too much is held.
    if (this.#gone) return
    if (headers[':method'] !== 'POST' || !IS_GRPC.test(headers['content-type'] ?? '')) {
      stream.respond({ ':status': 415 }, { endStream: true })
      this.#discard()
      return
    }
    stream.on('data', (chunk: Buffer) => this.#take(chunk))
    stream.once('end', () => {
      if (this.#gone || this.#stream.writableEnded) return
      if (this.#length < PREFIX_BYTES || this.#length !== this.#announced) {
        this.refuse(STATUS.invalidArgument, 'The request is not one whole message.')
        return
      }
      this.received = true
      this.isPacked = this.#bytes[0] === 1
      this.#held.arrived(this)
      handleBody(this.#length, this.peer, () => {
        if (!this.#gone) void this.#handle(handle, fail)
      })
    })
  }

  async #handle(
    handle: (message: Buffer) => Promise<void> | undefined,
    fail: (error: unknown) => void,
  ): Promise<void> {
    try {
      await handle(this.#bytes.subarray(PREFIX_BYTES, this.#length))
    } catch (error) {
      fail(error)
      if (this.#stream.headersSent) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR)
      else this.refuse(STATUS.internal, 'Internal error.')
    }
  }

  /** Answers with one message. */
  answer(message: Buffer): void {
    if (!this.begin()) return
    this.#stream.end(framed(message))
    this.#hold(message.length)
  }

  /** Begins an answer of any number of messages. False when the client has left. */
  begin(): boolean {
    if (this.#gone || this.#stream.headersSent) return false
    this.#stream.respond(CONTENT_TYPE, { waitForTrailers: true })
    this.#stream.once('wantTrailers', () => {
      if (!this.#gone) this.#stream.sendTrailers({ 'grpc-status': `${STATUS.ok}` })
    })
    return true
  }

  write(message: Buffer): void {
    if (!this.#gone) this.#stream.write(framed(message))
  }

  end(): void {
    this.#stream.end()
  }

  /** Ends the call with a status and without a message. `details` is ASCII, `more` are trailers. */
  refuse(status: Status, details: string, more: Readonly<Record<string, string>> = {}): void {
    if (this.#gone || this.#stream.headersSent) return
    this.#hold(0)
    this.#stream.respond(
      { ...CONTENT_TYPE, 'grpc-status': `${status}`, 'grpc-message': details, ...more },
      { endStream: true },
    )
    this.#discard()
  }

  /** Resets the stream. Nothing of the call is kept. */
  drop(): void {
    this.#release()
    this.#stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  /** Ends the connection, where a reset does not reach the client. */
  disconnect(): void {
    this.#stream.session?.destroy()
  }

  onClose(listener: () => void): void {
    this.#stream.once('close', listener)
  }

  #take(chunk: Buffer): void {
    if (this.#gone || this.#stream.writableEnded) return
    this.#append(chunk)
    if (this.#length < PREFIX_BYTES) return
    if (this.#bytes[0] !== 0 && !(this.#mayBePacked && this.#bytes[0] === 1))
      this.refuse(STATUS.unimplemented, 'This compression is not supported. Send the message uncompressed.')
    else if (this.#announced > this.#longest + PREFIX_BYTES)
      this.refuse(
        STATUS.resourceExhausted,
        `The message is longer than ${this.#longest} bytes. Send a shorter one.`,
      )
    else if (this.#length > this.#announced)
      this.refuse(STATUS.unimplemented, 'More than one message is not supported. Send one.')
  }

  /** Bytes of the request, by its prefix. */
  get #announced(): number {
    return this.#bytes.readUInt32BE(1) + PREFIX_BYTES
  }

  #append(chunk: Buffer): void {
    const needed = this.#length + chunk.length
    if (needed > this.#bytes.length) {
      const twice = Math.max(2 * this.#bytes.length, SMALLEST_BUFFER)
      const wanted = this.#length < PREFIX_BYTES ? twice : Math.min(twice, this.#announced)
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, wanted))
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    chunk.copy(this.#bytes, this.#length)
    this.#length = needed
    this.#held.hold(this, CALL_BYTES + this.#bytes.length)
  }

  /** Forgets the message. From now on an answer of this length waits for the client. */
  #hold(answerBytes: number): void {
    this.#bytes = EMPTY
    if (!this.#gone) this.#held.hold(this, CALL_BYTES + answerBytes)
  }

  /** Node throws when something is sent on a stream that was reset. */
  get #gone(): boolean {
    return this.#stream.destroyed || this.#stream.closed
  }

  #release(): void {
    this.#held.release(this)
    this.#bytes = EMPTY
  }

  /** What the client still sends is thrown away until it ends its half, or the deadline does. */
  #discard(): void {
    this.#stream.resume()
  }
}

function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}
