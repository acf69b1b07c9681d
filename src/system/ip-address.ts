import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type IpAddress = ipaddr.IPv4 | ipaddr.IPv6

/** An address and how many of its leading bits count. */
export interface Network {
  address: IpAddress
  prefix: number
}

/**
 * The address that a text is, an IPv4-mapped one (`::ffff:192.0.2.1`) as the IPv4 that it means; undefined: none.
 * Node decides what an address is, because ipaddr.js also reads `127.1` and `0x7f000001`. ipaddr.js decides what it
 * means, and reads no zone other than letters and digits.
 */
export function parseAddress(text: string): IpAddress | undefined {
  if (isIP(text) === 0) return undefined
  const [withoutZone = ''] = text.split('%')
  return ipaddr.isValid(withoutZone) ? ipaddr.process(withoutZone) : undefined
}

/**
 * The network of a text like `10.0.0.0/8`, or of a single address. Undefined for anything else, and for a network that
 * holds every address of its family.
 */
export function parseNetwork(text: string): Network | undefined {
  const [, written = '', bits] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const address = parseAddress(written)
  if (address === undefined) return undefined
  const longest = address.kind() === 'ipv4' ? 32 : 128
  // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
  const mappedBits = address.kind() === 'ipv4' && isIP(written) === 6 ? 96 : 0
  const prefix = bits === undefined ? longest : Number(bits) - mappedBits
  return prefix >= 1 && prefix <= longest ? { address, prefix } : undefined
}

/** Whether the network holds the address. An IPv6 network holds no IPv4 address, and the other way round. */
export function isWithin(address: IpAddress, { address: first, prefix }: Network): boolean {
  if (address instanceof ipaddr.IPv4) return first instanceof ipaddr.IPv4 && address.match(first, prefix)
  return first instanceof ipaddr.IPv6 && address.match(first, prefix)
}

/**
 * What failures of an address are counted under: an IPv4 address by itself, an IPv6 address by its /56, in which one
 * client can roam. Anything else is returned as it is.
 */
export function networkOf(text: string): string {
  const address = parseAddress(text)
  if (address === undefined) return text
  if (address instanceof ipaddr.IPv4) return address.toString()
  const [first = 0, second = 0, third = 0, fourth = 0] = address.parts
  return `${new ipaddr.IPv6([first, second, third, fourth & 0xff00, 0, 0, 0, 0])}/56`
}
