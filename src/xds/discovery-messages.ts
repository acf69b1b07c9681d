import { delimitedField, eachField, type FieldsLeft } from '../http/protobuf.ts'

/** https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol */
export const METHOD = '/envoy.service.extension.v3.ExtensionConfigDiscoveryService/StreamExtensionConfigs'
export const EXTENSION_CONFIG = 'type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig'

/** `Node`, as far as it is read: what a gateway says of itself. */
export interface GatewayNode {
  id: string
  cluster: string
  /** Of Envoy, as `1.40.0`. Undefined: not said. */
  envoyVersion: string | undefined
  /** Of its file (`CONTRACT_NUMBER`). Undefined: not said. */
  contract: string | undefined
  /** What its file enforces: `revocations`, `limits`. */
  enforces: readonly string[]
}

/** `DiscoveryRequest`, as far as it is read. */
export interface DiscoveryRequest {
  /** What the gateway has; '': nothing. */
  version: string
  /** Undefined: as in the first request of the stream. */
  node: GatewayNode | undefined
  names: readonly string[]
  typeUrl: string
  /** Of the response that this acknowledges; '': none. */
  nonce: string
  /** The gateway rejected that response. */
  error: string | undefined
}

const MOST_FIELDS = 2_000
const LONGEST_SHOWN = 300
const LONGEST_NAME = 128

/** Names in the node's metadata, which the generated files set. */
export const NODE_METADATA = { contract: 'mintmark.contract', enforces: 'mintmark.enforces' } as const

/** @throws {UnreadableMessage} */
export function readRequest(message: Buffer): DiscoveryRequest {
  const request = { version: '', typeUrl: '', nonce: '' }
  const names: string[] = []
  let node: GatewayNode | undefined
  let error: string | undefined
  const left = { fields: MOST_FIELDS }
  eachField(message, left, (field, value) => {
    if (field === 1) request.version = String(value)
    else if (field === 2) node = readNode(value, left)
    else if (field === 3) names.push(String(value))
    else if (field === 4) request.typeUrl = String(value)
    else if (field === 5) request.nonce = String(value)
    else if (field === 6) {
      error = 'rejected'
      eachField(value, left, (inStatus, text) => {
        if (inStatus === 2) error = textIn(text, LONGEST_SHOWN)
      })
    }
  })
  return { ...request, node, names, error }
}

function readNode(message: Buffer, left: FieldsLeft): GatewayNode {
  const texts = { id: '', cluster: '', version: '' }
  const numbers: [major?: number, minor?: number, patch?: number] = []
  const metadata = new Map<string, string>()
  eachField(message, left, (field, value) => {
    if (field === 1) texts.id = nameIn(value)
    else if (field === 2) texts.cluster = nameIn(value)
    else if (field === 3) readMetadata(value, left, metadata)
    else if (field === 7) texts.version = nameIn(value)
    // `BuildVersion` with a `SemanticVersion`.
    else if (field === 8)
      eachField(value, left, (inBuild, version) => {
        const number = (place: number, part: number) => {
          if (place >= 1 && place <= 3) numbers[place - 1] = part
        }
        if (inBuild === 1) eachField(version, left, () => {}, number)
      })
  })
  const [major = 0, minor = 0, patch = 0] = numbers
  const built = numbers.length > 0 ? `${major}.${minor}.${patch}` : undefined
  return {
    id: texts.id,
    cluster: texts.cluster,
    envoyVersion: built ?? (texts.version || undefined),
    contract: metadata.get(NODE_METADATA.contract),
    enforces: (metadata.get(NODE_METADATA.enforces) ?? '').split(' ').filter(Boolean).slice(0, 4),
  }
}

/** The texts in a `Struct`. */
function readMetadata(message: Buffer, left: FieldsLeft, texts: Map<string, string>): void {
  eachField(message, left, (field, entry) => {
    if (field !== 1) return
    let name = ''
    eachField(entry, left, (inEntry, value) => {
      if (inEntry === 1) name = nameIn(value)
      else if (inEntry === 2)
        eachField(value, left, (kind, text) => {
          if (kind === 3) texts.set(name, nameIn(text))
        })
    })
  })
}

/** A gateway's own text, bounded, and without control characters. */
const textIn = (value: Buffer, longest: number) =>
  String(value.subarray(0, 4 * longest))
    .replaceAll(/\p{C}/gu, '')
    .slice(0, longest)
const nameIn = (value: Buffer) => textIn(value, LONGEST_NAME)

/** `DiscoveryResponse` with one resource. */
export const discoveryResponse = (version: string, nonce: string, resource: Buffer): Buffer =>
  Buffer.concat([
    delimitedField(1, version),
    delimitedField(2, Buffer.concat([delimitedField(1, EXTENSION_CONFIG), delimitedField(2, resource)])),
    delimitedField(4, EXTENSION_CONFIG),
    delimitedField(5, nonce),
  ])
