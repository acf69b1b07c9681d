import { createServer, type Server, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.ts'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment } from './check-environment.ts'
import { send } from './client.ts'

const INTERNAL = 'internal-of-another-service'
const answer = (status: string, headers: string[] = [], body = '') =>
  [`HTTP/1.1 ${status}`, ...headers, `Content-Length: ${body.length}`, '', body].join('\r\n')

/** What something else than Mintmark could answer at its address: a proxy in between, or another service. */
const ANSWERS: [what: string, bytes: string][] = [
  ['200 and nothing else', answer('200 OK')],
  ['200 and a page', answer('200 OK', ['Content-Type: text/html'], INTERNAL)],
  ['200 and a token of nobody', answer('200 OK', ['Authorization: Bearer eyJhbGciOiJub25lIn0.e30.'])],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n'],
  ['206', answer('206 Partial Content')],
  ['a redirect', answer('302 Found', ['Location: http://elsewhere.example'], INTERNAL)],
  ['404 and a page', answer('404 Not Found', ['Content-Type: text/html'], INTERNAL)],
  ['500 and a page', answer('500 Internal Server Error', ['Content-Type: text/html'], INTERNAL)],
  ['no HTTP', `${INTERNAL}\r\n\r\n`],
]

/** Nothing passes a gateway whose checks are answered by something else than Mintmark. */
export function checkForeignChecks(
  name: string,
  expected: Expected,
  environment: () => CheckEnvironment,
): void {
  const asks = expected.credentials.includes('key')

  describe.skipIf(expected.absent || !asks)(`${name} and answers that are not Mintmark's`, () => {
    it('passes on no request', async () => {
      let bytes = ''
      const foreign = createServer(socket => answerEach(socket, () => bytes))
      const port = await listening(foreign)
      const { behind, acme, upstream } = environment()
      const ports = { ...behind.ports, gateway: port, gatewayGrpc: port }
      const gateway = await expected.start({ ...behind, ports })
      try {
        for (const [what, theirs] of ANSWERS) {
          bytes = theirs
          const { text } = await send(gateway.url, { token: acme.secret })
          expect({ what, reached: upstream.requests.length }).toEqual({ what, reached: 0 })
          if (expected.hidesForeign)
            expect({ what, text }).not.toMatchObject({ text: expect.stringContaining(INTERNAL) })
        }
      } finally {
        await gateway.stop()
        foreign.close()
      }
    })
  })
}

function answerEach(socket: Socket, bytes: () => string): void {
  socket.on('error', () => {}).on('data', () => socket.end(bytes()))
}

async function listening(server: Server): Promise<number> {
  const port = await freePort()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  return port
}
