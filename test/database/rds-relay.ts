import { createHash, createHmac } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** What RDS gives to `aws`, and knows of it. */
export const AWS = {
  AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
  AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  AWS_DEFAULT_REGION: 'eu-west-1',
} as const

export interface RdsRelay {
  port: number
  /** The length of each token that was sent, and whether it was accepted. */
  logins: { length: number; accepted: boolean }[]
  close(): Promise<void>
}

/**
 * RDS before a Postgres that trusts: asks for the password in clear text, and accepts a token that `aws rds
 * generate-db-auth-token` signed for this host, this port and the user (AWS Signature Version 4, in a query string).
 */
export async function startRdsRelay(postgresPort: number): Promise<RdsRelay> {
  const logins: RdsRelay['logins'] = []
  const sockets = new Set<Socket>()
  const server = createServer(async socket => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    try {
      const startup = await message(socket, 0)
      const [, user = ''] = /\0user\0([^\0]*)\0/.exec(startup.toString('latin1')) ?? []
      // AuthenticationCleartextPassword
      socket.write(Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 3]))
      const token = (await message(socket, 1)).subarray(5, -1).toString()
      const accepted = isSigned(token, `127.0.0.1:${relay.port}`, user)
      logins.push({ length: token.length, accepted })
      if (!accepted) return void socket.end(refusal(`PAM authentication failed for user "${user}"`))
      const upstream = connect(postgresPort, '127.0.0.1', () => upstream.write(startup))
      sockets.add(upstream)
      upstream.on('error', () => socket.destroy()).on('close', () => sockets.delete(upstream))
      socket.pipe(upstream).pipe(socket)
    } catch {
      // A client that left, or a request to cancel.
      socket.destroy()
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const relay: RdsRelay = {
    port: (server.address() as { port: number }).port,
    logins,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return relay
}

/** One whole message, whose length follows `at` bytes. */
async function message(socket: Socket, at: 0 | 1): Promise<Buffer> {
  let read = Buffer.alloc(0)
  while (read.length < at + 4 || read.length < at + read.readInt32BE(at)) {
    const chunk: Buffer | null = socket.read()
    if (chunk) read = Buffer.concat([read, chunk])
    else if (socket.readableEnded || socket.destroyed) throw new Error('the client left')
    else await Promise.race([once(socket, 'readable'), once(socket, 'close')])
  }
  return read
}

function refusal(text: string): Buffer {
  const fields = Buffer.from(`SFATAL\0C28000\0M${text}\0\0`)
  const head = Buffer.from([0x45, 0, 0, 0, 0])
  head.writeInt32BE(fields.length + 4, 1)
  return Buffer.concat([head, fields])
}

function isSigned(token: string, server: string, user: string): boolean {
  const url = new URL(`https://${token}`)
  const value = (name: string) => url.searchParams.get(name) ?? ''
  const at = value('X-Amz-Date')
  const [, ...scope] = value('X-Amz-Credential').split('/')
  const query = [...url.searchParams]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, text]) => `${encodeURIComponent(name)}=${encodeURIComponent(text)}`)
    .sort()
    .join('&')
  const request = ['GET', '/', query, `host:${server}\n`, 'host', sha256('')].join('\n')
  const signed = ['AWS4-HMAC-SHA256', at, scope.join('/'), sha256(request)].join('\n')
  const key = scope.reduce<string | Buffer>(
    (secret, part) => hmac(secret, part),
    `AWS4${AWS.AWS_SECRET_ACCESS_KEY}`,
  )
  return (
    token.startsWith(`${server}/?`) &&
    value('Action') === 'connect' &&
    value('DBUser') === user &&
    hmac(key, signed).toString('hex') === value('X-Amz-Signature')
  )
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest()
