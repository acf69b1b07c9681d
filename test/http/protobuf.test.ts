import { fromJSON } from '@grpc/proto-loader'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { okResponse, readCheckRequest } from '../../src/gateway/check-message.ts'
import { structMessage } from '../../src/gateway/dynamic-metadata.ts'
import { UnreadableMessage } from '../../src/http/protobuf.ts'
import { AUTHORIZATION_PROTO, plain } from '../gateway/grpc-proto.ts'

// biome-ignore lint/suspicious/noExplicitAny: the loader's definition by name
const { Check } = fromJSON(AUTHORIZATION_PROTO)['envoy.service.auth.v3.Authorization'] as any
const written = (message: object): Buffer => Check.requestSerialize(message)
const text = () => fc.string({ unit: 'grapheme', maxLength: 300 })
const header = fc.record({ key: text(), value: text() })

it('reads what protobufjs writes', () => {
  fc.assert(
    fc.property(
      fc.array(header, { maxLength: 50 }),
      text(),
      text(),
      text(),
      (headers, path, body, address) => {
        const source = { address: { socketAddress: { address } } }
        const http = { headerMap: { headers }, path, body }
        const read = readCheckRequest(written({ attributes: { source, request: { http } } }))
        expect(read).toMatchObject({ source: address, path })
        expect(read.headers).toEqual(headers.map(({ key, value }) => [key, value]))
        expect(read.body.toString()).toBe(body)
      },
    ),
  )
})

it('writes what protobufjs reads', () => {
  fc.assert(
    fc.property(fc.dictionary(text(), text(), { noNullPrototype: true }), headers => {
      const read = Check.responseDeserialize(okResponse(headers, ['x-api-key'], Buffer.alloc(0)))
      const options = read.okResponse.headers ?? []
      // biome-ignore lint/suspicious/noExplicitAny: the loader's message
      const entries = options.map((option: any) => [option.header.key ?? '', option.header.value ?? ''])
      expect(entries).toEqual(Object.entries(headers))
      expect(read.okResponse.headersToRemove).toEqual(['x-api-key'])
    }),
  )
})

it('writes metadata that protobufjs reads', () => {
  const leaf = fc.oneof(text(), fc.double({ noNaN: true }))
  const structs = fc.dictionary(
    text(),
    fc.oneof(leaf, fc.dictionary(text(), leaf, { noNullPrototype: true })),
    {
      noNullPrototype: true,
    },
  )
  fc.assert(
    fc.property(structs, struct => {
      const read = Check.responseDeserialize(okResponse({}, [], structMessage(struct)))
      expect(plain(read.dynamicMetadata)).toEqual(struct)
    }),
  )
})

it('any bytes are read, or are unreadable', () => {
  const message = written({ attributes: { request: { http: { headers: { authorization: 'Bearer a' } } } } })
  const changed = fc
    .tuple(fc.nat(message.length - 1), fc.integer({ min: 0, max: 255 }), fc.nat(message.length))
    .map(([at, byte, length]) => {
      const bytes = Buffer.from(message)
      bytes[at] = byte
      return bytes.subarray(0, length)
    })
  const random = fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes))
  fc.assert(
    fc.property(fc.oneof(changed, random), bytes => {
      try {
        readCheckRequest(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(UnreadableMessage)
      }
    }),
    { numRuns: 1_000 },
  )
})
