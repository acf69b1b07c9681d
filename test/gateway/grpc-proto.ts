/**
 * The protobuf descriptors of our gRPC services in JSON, for grpc-js as the client of the tests. They hold only the
 * fields that Mintmark reads or writes, under their numbers.
 *
 * Extracted from Envoy's data-plane API (envoy/service/auth/v3/external_auth.proto, attribute_context.proto,
 * envoy/config/core/v3/base.proto; Copyright Envoy Project Authors, Apache License 2.0) and gRPC's health checking
 * protocol (grpc/health/v1/health.proto; Copyright The gRPC Authors, Apache License 2.0); Struct and Value are those of
 * google/protobuf/struct.proto (Copyright Google Inc., BSD 3-Clause License).
 */

const field = (id: number, type: string) => ({ id, type })
const list = (id: number, type: string) => ({ id, type, rule: 'repeated' })
const message = (fields: object, nested?: object) => (nested ? { fields, nested } : { fields })

const authorization = {
  CheckRequest: message({ attributes: field(1, 'AttributeContext') }),
  AttributeContext: message(
    { source: field(1, 'Peer'), request: field(4, 'Request') },
    {
      Peer: message({ address: field(1, 'Address') }),
      Request: message({ http: field(2, 'HttpRequest') }),
      HttpRequest: message({
        headers: { id: 3, type: 'string', keyType: 'string' },
        path: field(4, 'string'),
        body: field(11, 'string'),
        rawBody: field(12, 'bytes'),
        headerMap: field(13, 'HeaderMap'),
      }),
    },
  ),
  Address: message({ socketAddress: field(1, 'SocketAddress') }),
  SocketAddress: message({ address: field(2, 'string') }),
  HeaderMap: message({ headers: list(1, 'HeaderValue') }),
  HeaderValue: message({ key: field(1, 'string'), value: field(2, 'string'), rawValue: field(3, 'bytes') }),
  HeaderValueOption: message({ header: field(1, 'HeaderValue'), append: field(2, 'BoolValue') }),
  BoolValue: message({ value: field(1, 'bool') }),
  CheckResponse: {
    oneofs: { httpResponse: { oneof: ['deniedResponse', 'okResponse'] } },
    fields: {
      status: field(1, 'Status'),
      deniedResponse: field(2, 'DeniedHttpResponse'),
      okResponse: field(3, 'OkHttpResponse'),
      dynamicMetadata: field(4, 'Struct'),
    },
  },
  Struct: message({ fields: { id: 1, type: 'Value', keyType: 'string' } }),
  Value: {
    oneofs: { kind: { oneof: ['numberValue', 'stringValue', 'structValue'] } },
    fields: {
      numberValue: field(2, 'double'),
      stringValue: field(3, 'string'),
      structValue: field(5, 'Struct'),
    },
  },
  Status: message({ code: field(1, 'int32') }),
  HttpStatus: message({ code: field(1, 'int32') }),
  DeniedHttpResponse: message({
    status: field(1, 'HttpStatus'),
    headers: list(2, 'HeaderValueOption'),
    body: field(3, 'string'),
  }),
  OkHttpResponse: message({ headers: list(2, 'HeaderValueOption'), headersToRemove: list(5, 'string') }),
  Authorization: {
    methods: { Check: { requestType: 'CheckRequest', responseType: 'CheckResponse' } },
  },
}

const health = {
  HealthCheckRequest: message({ service: field(1, 'string') }),
  HealthCheckResponse: message({ status: field(1, 'int32') }),
  Health: {
    methods: {
      Check: { requestType: 'HealthCheckRequest', responseType: 'HealthCheckResponse' },
      Watch: {
        requestType: 'HealthCheckRequest',
        responseType: 'HealthCheckResponse',
        responseStream: true,
      },
    },
  },
}

const within = (path: string, nested: object) =>
  path.split('.').reduceRight((inner, name) => ({ nested: { [name]: inner } }), { nested } as object)

export const AUTHORIZATION_PROTO = within('envoy.service.auth.v3', authorization)
export const HEALTH_PROTO = within('grpc.health.v1', health)

/** The message as the loader returns it: fields that were not sent are undefined. */
interface HeaderOption {
  header: { key: string; value: string }
  append: { value: false }
}

/** `google.protobuf.Struct`. */
interface StructMessage {
  fields: Record<string, { numberValue?: number; stringValue?: string; structValue?: StructMessage }>
}

export interface CheckResponseMessage {
  status: { code: number }
  okResponse?: { headers: HeaderOption[]; headersToRemove: string[] }
  dynamicMetadata?: StructMessage
  deniedResponse?: { status: { code: number }; headers: HeaderOption[]; body: string }
}

/** The struct as an object. */
export const plain = ({ fields = {} }: Partial<StructMessage> = {}): object =>
  Object.fromEntries(
    Object.entries(fields).map(([name, { numberValue, stringValue, structValue }]) => [
      name,
      structValue ? plain(structValue) : (numberValue ?? stringValue),
    ]),
  )
