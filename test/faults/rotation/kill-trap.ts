import { connect, createServer, type Socket } from 'node:net'

/** A moment in the Postgres protocol: a request with this text, on a connection that has sent these texts before. */
export interface Moment {
  text: string
  after?: string
}

/**
 * A proxy for Postgres that forwards a request and never its response: the test then kills the process, with the
 * request executed and its result unknown.
 */
export async function startKillTrap(databaseUrl: string): Promise<{
  url: string
  /** Resolves when the moment has come; that connection gets no more responses. */
  set(moment: Moment): Promise<void>
  close(): Promise<void>
}> {
  const target = new URL(databaseUrl)
  let trap: (Moment & { sprung: () => void }) | undefined
  const sockets = new Set<Socket>()
  const server = createServer(client => {
    const upstream = connect({ host: target.hostname, port: Number(target.port || 5432) })
    let silent = false
    let said = ''
    client.on('data', chunk => {
      const text = chunk.toString('latin1')
      if (trap && !silent && text.includes(trap.text) && said.includes(trap.after ?? '')) {
        silent = true
        trap.sprung()
        trap = undefined
      }
      // Texts of an earlier transaction do not count.
      said = /\bBEGIN\b/.test(text) ? text : said + text
      upstream.write(chunk)
    })
    upstream.on('data', chunk => void (silent || client.write(chunk)))
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      const end = () => {
        client.destroy()
        upstream.destroy()
      }
      socket.on('error', end).on('close', end)
    }
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address() as { port: number }
  const url = new URL(databaseUrl)
  url.hostname = '127.0.0.1'
  url.port = String(address.port)
  return {
    url: url.href,
    set: moment =>
      new Promise(sprung => {
        trap = { ...moment, sprung }
      }),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
