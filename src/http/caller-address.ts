import type { IncomingMessage } from 'node:http'

/** Whether the proxy at this address, so many hops away, is believed. */
export type Trusts = (address: string, hops: number) => boolean

/**
 * The address of the caller: of the connection, or, while that is a trusted proxy, the one before it in
 * X-Forwarded-For, whose last entry is the nearest.
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
    address = forwarded.pop() as string
    if (!trusts(address, hops)) break
  }
  return address
}
