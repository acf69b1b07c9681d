import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type IpAddress = ipaddr.IPv4 | ipaddr.IPv6

/** An address and the number of its leading bits that count. */
export interface Network {
  address: IpAddress
  prefix: number
}

/**
 * Parses an address; an IPv4-mapped one (`::ffff:192.0.2.1`) becomes IPv4; undefined for anything else. Node decides
 * what is an address, because ipaddr.js also accepts `127.1` and `0x7f000001`. ipaddr.js parses it, and accepts zones
 * of letters and digits only.
 */
export function parseAddress(text: string): IpAddress | undefined {
  if (isIP(text) === 0) return undefined
  const [withoutZone = ''] = text.split('%')
  return ipaddr.isValid(withoutZone) ? ipaddr.process(withoutZone) : undefined
}

/**
 * Parses a network like `10.0.0.0/8`, or a single address. Undefined for anything else, and for a network that contains
 * every address of its family.
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

/** Whether only this machine can connect to the address. */
export const isLoopback = (text: string): boolean => parseAddress(text)?.range() === 'loopback'

/** Whether the network contains the address. An IPv6 network contains no IPv4 address, and vice versa. */
export function isWithin(address: IpAddress, { address: first, prefix }: Network): boolean {
  if (address instanceof ipaddr.IPv4) return first instanceof ipaddr.IPv4 && address.match(first, prefix)
  return first instanceof ipaddr.IPv6 && address.match(first, prefix)
}

/**
 * The key that failures of an address are counted under: an IPv4 address itself, the /56 of an IPv6 address, within
 * which one client can change addresses. Other text is returned unchanged.
 */
export function networkOf(text: string): string {
  const address = parseAddress(text)
  if (address === undefined) return text
  if (address instanceof ipaddr.IPv4) return address.toString()
  const [first = 0, second = 0, third = 0, fourth = 0] = address.parts
  return `${new ipaddr.IPv6([first, second, third, fourth & 0xff00, 0, 0, 0, 0])}/56`
}

/**
 * The network that shares one turn in a queue: the /24 of an IPv4 address, the /48 of an IPv6 address, which are the
 * smallest networks that are routed on the internet, so that many addresses of one owner count once. Coarser than
 * `networkOf`, because neighbours only share a turn and are not refused. Other text is returned unchanged.
 */
export function routedNetworkOf(text: string): string {
  const address = parseAddress(text)
  if (address === undefined) return text
  if (address instanceof ipaddr.IPv4) return `${address.octets.slice(0, 3).join('.')}.0/24`
  const [first = 0, second = 0, third = 0] = address.parts
  return `${new ipaddr.IPv6([first, second, third, 0, 0, 0, 0, 0])}/48`
}
