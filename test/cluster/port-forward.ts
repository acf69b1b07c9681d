import { connect, createServer } from 'node:net'

/** In place of `kubectl port-forward`: `port-forward.ts ADDRESS PORT` passes connections to localhost:PORT on to ADDRESS:PORT. */
const [host = '', port = ''] = process.argv.slice(2)
createServer(client => {
  const service = connect(Number(port), host)
  client.pipe(service).pipe(client)
  for (const socket of [client, service])
    socket.on('error', () => {
      client.destroy()
      service.destroy()
    })
}).listen(Number(port), '127.0.0.1')
