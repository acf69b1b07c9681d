/** The bytes of an HTTP/2 connection that begins with so many whole calls of gRPC, each with `more` headers. */
export function callsAtOnce(
  path: string,
  count: number,
  more: Readonly<Record<string, string>> = {},
): Buffer {
  const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
    const head = Buffer.alloc(9)
    head.writeUIntBE(payload.length, 0, 3)
    head.writeUInt8(type, 3)
    head.writeUInt8(flags, 4)
    head.writeUInt32BE(stream, 5)
    return Buffer.concat([head, payload])
  }
  // Literal fields with new names, RFC 7541, section 6.2.2; POST and http are in its table.
  const field = (name: string, value: string) =>
    Buffer.concat([
      Buffer.from([0, name.length]),
      Buffer.from(name),
      Buffer.from([value.length]),
      Buffer.from(value),
    ])
  const headers = Buffer.concat([
    Buffer.from([0x83, 0x86]),
    field(':path', path),
    field(':authority', 'localhost'),
    field('content-type', 'application/grpc'),
    ...Object.entries(more).map(([name, value]) => field(name, value)),
  ])
  const call = (stream: number) =>
    Buffer.concat([frame(1, 4, stream, headers), frame(0, 1, stream, Buffer.alloc(5))])
  return Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    frame(4, 0, 0, Buffer.alloc(0)),
    ...Array.from({ length: count }, (_, n) => call(2 * n + 1)),
  ])
}
