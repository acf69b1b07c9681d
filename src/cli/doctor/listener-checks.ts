import { connect } from 'node:net'
import { type Finding, fault, note, ok } from './finding.ts'

/** The listeners by their default port, and who may reach them. */
const LISTENERS = [
  { name: 'public', port: 8080, isPublic: true },
  { name: 'admin', port: 8081, isPublic: false },
  { name: 'gateway', port: 8082, isPublic: false },
  { name: 'gateway gRPC', port: 8083, isPublic: false },
  { name: 'ops', port: 8084, isPublic: false },
  { name: 'OTLP over HTTP', port: 8085, isPublic: false },
  { name: 'xDS', port: 8086, isPublic: false },
  { name: 'OTLP over gRPC', port: 8087, isPublic: false },
] as const
const TIMEOUT_MS = 3_000

/**
 * Which listeners accept connections at a host, seen from here. Run it where clients are: from there only the public one,
 * or the proxy in front of it, may answer. `ports`: those of an installation that uses others, by the name of the listener.
 */
export async function listenerFindings(
  host: string,
  {
    isOutside,
    ports = LISTENERS,
  }: { isOutside: boolean; ports?: readonly { name: string; port: number; isPublic: boolean }[] },
): Promise<Finding[]> {
  const reached = await Promise.all(
    ports.map(async each => ({ ...each, isOpen: await isOpen(host, each.port) })),
  )
  return reached.map(({ name, port, isPublic, isOpen }) => {
    const check = `${name} listener`
    const where = `${host}:${port}`
    if (!isOpen)
      return isOutside && !isPublic
        ? ok(check, `${where} is closed to this host`)
        : note(check, `${where} does not answer here`)
    if (!isOutside || isPublic) return note(check, `${where} accepts connections from here`)
    return fault(
      check,
      `${where} accepts connections from outside`,
      'Bind it to 127.0.0.1 or an inner address, or close the port with a firewall or NetworkPolicy.',
    )
  })
}

/** Whether a TCP connection is accepted. */
function isOpen(host: string, port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({ host, port, timeout: TIMEOUT_MS })
  const end = (answer: boolean) => {
    socket.destroy()
    resolve(answer)
  }
  socket.once('connect', () => end(true))
  socket.once('error', () => end(false))
  socket.once('timeout', () => end(false))
  return promise
}
