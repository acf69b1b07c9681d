import type { LookupAddress } from 'node:dns'
import { isWithin, type Network, parseAddress, parseNetwork } from '../../system/ip-address.ts'
import { isPublic } from '../../system/public-address.ts'
import { FetchFault } from './fetch-fault.ts'

/** Addresses with a port that an operator named, although they are not public. */
export interface AllowedAddress {
  network: Network
  port: number
}

/** `10.0.0.0/8:443`, `10.1.2.3:6443`, `[fd00::/8]:443`; undefined for anything else. */
export function parseAllowedAddress(text: string): AllowedAddress | undefined {
  const [, bracketed, plain, digits = ''] = /^(?:\[([^\]]+)\]|([^[\]:]+)):(\d{1,5})$/.exec(text) ?? []
  const network = parseNetwork(bracketed ?? plain ?? '')
  const port = Number(digits)
  return network && port >= 1 && port <= 65_535 ? { network, port } : undefined
}

/** What may be connected to. */
export interface AddressRules {
  allowed: readonly AllowedAddress[]
  /** Whether a listener of this process has this address. It is never connected to. */
  isOwn: (address: string, port: number) => boolean
}

/**
 * The addresses of a name, if each of them may be connected to. One that may not is a reason to refuse all: the owner of
 * the name chooses their order.
 * @throws {FetchFault}
 */
export function checkedAddresses(
  resolved: readonly LookupAddress[],
  port: number,
  rules: AddressRules,
): readonly LookupAddress[] {
  if (resolved.length === 0) throw new FetchFault('name', 'The name of the issuer has no address.')
  const refused = resolved.find(({ address }) => !mayConnect(address, port, rules))
  if (refused)
    throw new FetchFault(
      'address',
      `The address ${refused.address}, port ${port}, is not public. If it is the issuer, name it in allow_addresses.`,
    )
  return resolved
}

function mayConnect(address: string, port: number, { allowed, isOwn }: AddressRules): boolean {
  const parsed = parseAddress(address)
  if (!parsed || isOwn(address, port)) return false
  return isPublic(address) || allowed.some(each => each.port === port && isWithin(parsed, each.network))
}
