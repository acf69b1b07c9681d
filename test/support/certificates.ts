import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto'

/** A certificate and its private key, as PEM. */
export interface Certificate {
  certificate: string
  key: string
}

const DAY_MS = 86_400_000
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'
const COMMON_NAME = '2.5.4.3'
const SUBJECT_ALT_NAME = '2.5.29.17'
const BASIC_CONSTRAINTS = '2.5.29.19'

/** An authority that signs itself. */
export function makeAuthority(name: string): Certificate {
  return make({ name, isAuthority: true, dnsNames: [] })
}

/** A certificate of `authority` for these DNS names, or for a client, of which `name` is the common name. */
export function makeCertificate(
  authority: Certificate,
  options: { name: string; authorityName: string; dnsNames?: string[]; expired?: boolean },
): Certificate {
  const { dnsNames = [], ...rest } = options
  return make({ ...rest, dnsNames, isAuthority: false, signer: authority.key })
}

/** X.509 version 3 (RFC 5280 §4.1), with a key on P-256. */
function make(options: {
  name: string
  dnsNames: readonly string[]
  isAuthority: boolean
  authorityName?: string
  signer?: string
  expired?: boolean
}): Certificate {
  const { name, dnsNames, isAuthority, authorityName = name, expired } = options
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const key = pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const now = Date.now()
  const [from, until] = expired ? [now - 3 * DAY_MS, now - DAY_MS] : [now - DAY_MS, now + DAY_MS]
  const extension = (id: string, value: Buffer) => sequence(oid(id), tagged(0x04, value))
  const extensions = [
    extension(BASIC_CONSTRAINTS, isAuthority ? sequence(tagged(0x01, Buffer.from([0xff]))) : sequence()),
    ...(dnsNames.length > 0
      ? [extension(SUBJECT_ALT_NAME, sequence(...dnsNames.map(dns => tagged(0x82, Buffer.from(dns)))))]
      : []),
  ]
  const algorithm = sequence(oid(ECDSA_WITH_SHA256))
  const body = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    tagged(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    distinguishedName(authorityName),
    sequence(time(from), time(until)),
    distinguishedName(name),
    createPublicKey(pair.privateKey).export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', body, createPrivateKey(options.signer ?? key))
  const whole = sequence(body, algorithm, tagged(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? []
  return { certificate: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`, key }
}

/** One value in DER (X.690 §8.1): tag, length, content. */
function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

const sequence = (...parts: readonly Buffer[]) => tagged(0x30, Buffer.concat(parts))
const distinguishedName = (name: string) =>
  sequence(tagged(0x31, sequence(oid(COMMON_NAME), tagged(0x0c, Buffer.from(name)))))
/** UTCTime, to the second. */
const time = (at: number) =>
  tagged(
    0x17,
    Buffer.from(
      `${new Date(at)
        .toISOString()
        .replaceAll(/[-:T]|\.\d+/g, '')
        .slice(2)}`,
    ),
  )

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  const base128 = (value: number): number[] => {
    const low = [value & 0x7f]
    for (let left = value >> 7; left > 0; left >>= 7) low.unshift((left & 0x7f) | 0x80)
    return low
  }
  return tagged(0x06, Buffer.from([40 * first + second, ...rest.flatMap(base128)]))
}
