import { Agent, createServer, request } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { until } from '../support/until.ts'
import type { Expected } from './check-contract.ts'
import type { CheckEnvironment } from './check-environment.ts'
import { chat } from './client.ts'

/** An engine that drops what comes on a connection after its first request, as if it had been closing it. */
interface ClosingEngine {
  port: number
  connections(): number
  /** Connections that the gateway has ended, before it sent a second request. */
  endedByGateway(): number
  stop(): Promise<void>
}

async function startClosingEngine(): Promise<ClosingEngine> {
  const answered = new WeakSet<Socket>()
  let connections = 0
  let endedByGateway = 0
  const server = createServer({ keepAliveTimeout: 0 }, (req, res) => {
    const { socket } = req
    if (answered.has(socket)) {
      socket.resetAndDestroy()
      return
    }
    req.resume().once('end', () => {
      answered.add(socket)
      res.setHeader('content-type', 'application/json').end('{"object":"test"}')
    })
  })
  server.on('connection', socket => {
    connections++
    socket.once('end', () => {
      endedByGateway++
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => connections,
    endedByGateway: () => endedByGateway,
    stop: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** uvicorn, which serves vLLM, closes a connection that was idle for 5 seconds. A gateway never sends a request into that. */
export function checkIdleConnections(
  name: string,
  expected: Expected,
  environment: () => CheckEnvironment,
): void {
  describe.skipIf(expected.absent)(`${name} and an engine that closes idle connections`, () => {
    it('sends no request into a connection that the engine is closing', async () => {
      const engine = await startClosingEngine()
      const { behind, acme } = environment()
      const start = expected.startImpatient ?? expected.start
      const gateway = await start({ ...behind, ports: { ...behind.ports, upstream: engine.port } })
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      try {
        const token = expected.credentials.includes('token') ? acme.token : acme.secret
        const statuses: (number | undefined)[] = []
        for (let sent = 1; sent <= 3; sent++) {
          statuses.push(await post(gateway.url, token, agent))
          if (expected.startImpatient)
            await until('the gateway has ended the idle connection', () => engine.endedByGateway() === sent)
        }
        expect(statuses).toEqual([200, 200, 200])
        expect(engine.connections()).toBe(3)
      } finally {
        agent.destroy()
        await gateway.stop()
        await engine.stop()
      }
    })
  })
}

/** The status of a chat request on the agent's one connection. */
function post(url: string, token: string, agent: Agent): Promise<number | undefined> {
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  return new Promise((resolve, reject) => {
    request(`${url}/v1/chat/completions`, { method: 'POST', agent, headers }, answer =>
      answer.resume().once('end', () => resolve(answer.statusCode)),
    )
      .once('error', reject)
      .end(chat('llama-3-8b'))
  })
}
