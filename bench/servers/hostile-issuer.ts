import { generateKeyPairSync } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'

/** An issuer that answers each path in another harmful way. Prints its port and the paths. */
const LIMIT = 262_144
const jwk = (modulusLength: number) =>
  generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ format: 'jwk' })
const small = jwk(2048)
const large = jwk(4096)
const bomb = gzipSync(Buffer.alloc(100_000_000))
const chunk = Buffer.alloc(65_536, 0x20)

const ANSWERS: Record<string, (res: ServerResponse) => unknown> = {
  html: res => res.end('<!doctype html><title>Sign in</title>'),
  'ten-megabytes': res => res.end(Buffer.alloc(10_000_000, 0x20)),
  endless: res => endless(res),
  'gzip-bomb': res => res.setHeader('content-encoding', 'gzip').end(bomb),
  nested: res => res.end(`{"keys":${'['.repeat(LIMIT / 2 - 10)}${']'.repeat(LIMIT / 2 - 10)}}`),
  numbers: res => res.end(`{"keys":[${Array(LIMIT / 2 - 10).fill(1)}]}`),
  'thousand-keys': res => res.end(JSON.stringify({ keys: Array(1_000).fill({ ...small, n: 'AQAB' }) })),
  'hundred-large-keys': res => res.end(JSON.stringify({ keys: Array(100).fill(large) })),
  redirect: res => res.writeHead(302, { location: '/redirect' }).end(),
  headers: res => res.writeHead(200, { x: 'x'.repeat(1_000_000) }).end(),
  hangs: () => {},
  'hangs-after-a-byte': res => res.write('{'),
  drips: res => {
    const timer = setInterval(() => res.write(' '), 100)
    res.on('close', () => clearInterval(timer))
  },
}

function endless(res: ServerResponse): void {
  while (!res.destroyed && res.write(chunk));
  res.once('drain', () => endless(res))
}

const server = createServer((req, res) => {
  ANSWERS[(req.url ?? '').slice(1)]?.(res)
})
server.listen(0, '127.0.0.1', () =>
  console.log(JSON.stringify({ port: (server.address() as AddressInfo).port, paths: Object.keys(ANSWERS) })),
)
