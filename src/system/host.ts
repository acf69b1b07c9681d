import { hostname, networkInterfaces } from 'node:os'
import { parseAddress } from './ip-address.ts'

/** Whether a connection to this address ends on this host. */
export function isOfThisHost(text: string): boolean {
  const address = parseAddress(text)
  if (!address || ['loopback', 'unspecified'].includes(address.range())) return true
  const own = Object.values(networkInterfaces()).flatMap(each => each ?? [])
  return own.some(each => parseAddress(each.address)?.toString() === address.toString())
}

/** The name of this process for operators. */
export const processName = (): string => `${hostname()}:${process.pid}`
