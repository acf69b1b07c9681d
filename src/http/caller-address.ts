import type { IncomingMessage } from 'node:http'
import { isWithin, parseAddress, parseNetwork } from '../system/ip-address.ts'

/** Whether to trust the X-Forwarded-For entry of the proxy at this address, this many hops away. */
export type Trusts = (address: string, hops: number) => boolean

/** Trusts the proxies in these addresses and CIDRs, however many hops away. A mapped IPv4 address counts as IPv4. */
export function trusting(cidrs: readonly string[]): Trusts {
  const networks = cidrs.map(parseNetwork).filter(network => network !== undefined)
  return text => {
    const address = parseAddress(text)
    return address !== undefined && networks.some(network => isWithin(address, network))
  }
}

/**
 * The caller's address: that of the connection, or, while that is a trusted proxy, the one before it in
 * X-Forwarded-For, whose last entry is the nearest. A port that some proxies append is dropped: failures are counted by
 * address, and each connection has another port. An entry that is not an address ends the search at the proxy that
 * wrote it.
 */
export function callerAddress(req: IncomingMessage, trusts: Trusts): string | undefined {
  let address = req.socket.remoteAddress
  const header = req.headers['x-forwarded-for']
  if (header === undefined || address === undefined || !trusts(address, 0)) return address
  const forwarded = String(header)
    .split(',')
    .map(entry => entry.trim())
    .filter(entry => entry !== '')
  for (let hops = 1; forwarded.length > 0; hops++) {
    const before = addressIn(forwarded.pop() as string)
    if (before === undefined) break
    address = before
    if (!trusts(address, hops)) break
  }
  return address
}

/** `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`; undefined for anything else. */
function addressIn(entry: string): string | undefined {
  const [, plain = entry] = /^([\d.]+):\d+$/.exec(entry) ?? /^\[(.+)\](?::\d+)?$/.exec(entry) ?? []
  return parseAddress(plain) && plain
}
