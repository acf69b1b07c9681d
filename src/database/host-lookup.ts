import { lookup } from 'node:dns'
import { type LookupFunction, Socket } from 'node:net'

type Callback = Parameters<LookupFunction>[2]

/** The callers that wait for each lookup in progress. */
const waiting = new Map<string, Callback[]>()

/**
 * `dns.lookup`, once at a time for each host: callers during a lookup share its result. A lookup that is not answered
 * holds one of libuv's four threads for many seconds. One for each attempt to connect would hold all of them, and RSA
 * signatures, bcrypt and the log need them too.
 */
export const sharedLookup: LookupFunction = (host, options, callback) => {
  const name = JSON.stringify([host, options.family, options.hints, options.all])
  const others = waiting.get(name)
  if (others) return void others.push(callback)
  const callbacks = [callback]
  waiting.set(name, callbacks)
  lookup(host, options, (...result) => {
    waiting.delete(name)
    for (const each of callbacks) each(...(result as Parameters<Callback>))
  })
}

/** A socket for pg, which connects it to a port and a host, or to the path of a Unix socket. */
export function databaseSocket(): Socket {
  const socket = new Socket()
  const connect = socket.connect.bind(socket)
  return Object.assign(socket, {
    connect: (place: number | string, host?: string) =>
      typeof place === 'string'
        ? connect(place)
        : connect({ port: place, ...(host !== undefined && { host }), lookup: sharedLookup }),
  })
}
