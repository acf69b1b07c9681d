import type { Server, Socket } from 'node:net'

export interface MostConnections {
  total: number
  ofOneAddress: number
}

/** Closes connections beyond the limits at once, those of one address first. */
export function limitConnections(server: Server, most: MostConnections): void {
  const byAddress = new Map<string, number>()
  server.maxConnections = most.total
  server.prependListener('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const open = byAddress.get(address) ?? 0
    if (open >= most.ofOneAddress) return void socket.destroy()
    byAddress.set(address, open + 1)
    socket.once('close', () => {
      const left = (byAddress.get(address) ?? 1) - 1
      if (left > 0) byAddress.set(address, left)
      else byAddress.delete(address)
    })
  })
}
