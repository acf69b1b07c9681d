import { delimitedField, eachField } from '../http/protobuf.ts'

/** https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol */
export const METHOD = '/envoy.service.extension.v3.ExtensionConfigDiscoveryService/StreamExtensionConfigs'
export const EXTENSION_CONFIG = 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig'

/** `DiscoveryRequest`, as far as it is read. */
export interface DiscoveryRequest {
  /** What the gateway has; '': nothing. */
  version: string
  nodeId: string
  names: readonly string[]
  typeUrl: string
  /** Of the response that this acknowledges; '': none. */
  nonce: string
  /** The gateway rejected that response. */
  error: string | undefined
}

const MOST_FIELDS = 2_000
const LONGEST_SHOWN = 300

/** @throws {UnreadableMessage} */
export function readRequest(message: Buffer): DiscoveryRequest {
  const request = { version: '', nodeId: '', typeUrl: '', nonce: '' }
  const names: string[] = []
  let error: string | undefined
  const left = { fields: MOST_FIELDS }
  eachField(message, left, (field, value) => {
    if (field === 1) request.version = String(value)
    else if (field === 2)
      eachField(value, left, (inNode, id) => {
        if (inNode === 1) request.nodeId = String(id).slice(0, LONGEST_SHOWN)
      })
    else if (field === 3) names.push(String(value))
    else if (field === 4) request.typeUrl = String(value)
    else if (field === 5) request.nonce = String(value)
    else if (field === 6) {
      error = 'rejected'
      eachField(value, left, (inStatus, text) => {
        if (inStatus === 2) error = String(text).slice(0, LONGEST_SHOWN)
      })
    }
  })
  return { ...request, names, error }
}

/** `DiscoveryResponse` with one resource. */
export const discoveryResponse = (version: string, nonce: string, resource: Buffer): Buffer =>
  Buffer.concat([
    delimitedField(1, version),
    delimitedField(2, Buffer.concat([delimitedField(1, EXTENSION_CONFIG), delimitedField(2, resource)])),
    delimitedField(4, EXTENSION_CONFIG),
    delimitedField(5, nonce),
  ])
