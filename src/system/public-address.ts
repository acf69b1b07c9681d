import ipaddr from 'ipaddr.js'
import { isWithin, type Network, parseAddress, parseNetwork } from './ip-address.ts'

const network = (text: string): Network => {
  const parsed = parseNetwork(text)
  if (!parsed) throw new Error(`not a network: ${text}`)
  return parsed
}

/** Global unicast, RFC 4291 §2.5.4. Everything else in IPv6 is local, reserved or a form of IPv4. */
const GLOBAL = network('2000::/3')
/** The IANA special-purpose registries, as far as ipaddr.js has no range for them. */
const SPECIAL = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20', '198.18.0.0/15'].map(network)
/** RFC 6052: the last 32 bits are an IPv4 address. */
const NAT64 = network('64:ff9b::/96')

/**
 * Whether an address is one of the public internet. An IPv4-mapped or NAT64 address is what it stands for. False for
 * loopback, link-local, private, shared and reserved ones, and for anything but an address.
 */
export function isPublic(text: string): boolean {
  const address = parseAddress(text)
  if (address === undefined) return false
  if (address instanceof ipaddr.IPv6) {
    if (isWithin(address, NAT64)) return isPublic(lastOctets(address))
    if (!isWithin(address, GLOBAL)) return false
  }
  return address.range() === 'unicast' && !SPECIAL.some(each => isWithin(address, each))
}

const lastOctets = (address: ipaddr.IPv6) => address.toByteArray().slice(-4).join('.')
