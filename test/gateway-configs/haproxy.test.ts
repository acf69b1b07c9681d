import { connect, type Socket } from 'node:net'
import { expect, it } from 'vitest'
import { until } from '../support/until.ts'
import { type Contract, checkContract } from './check-contract.ts'
import { send } from './client.ts'
import { MARK } from './forged-headers.ts'
import { startHaproxy } from './haproxy.ts'
import { checkHttp2 } from './over-http2.ts'
import { isAbsent } from './program.ts'

checkContract('deploy/haproxy', {
  absent: isAbsent('haproxy'),
  start: startHaproxy,
  env: { MINTMARK_SIGNING_ALG: 'RS256' },
  credentials: ['token'],
  refusesBeforeBody: 'every',
  entitles: true,
  verifiesTokens: true,
  cutsOff: true,
  more: checkHaproxy,
  passedOn: ['x-forwarded-for'],
})

function checkHaproxy(contract: Contract): void {
  const { environment, expectOnlyOurs } = contract
  // The same listener takes it.
  checkHttp2(contract, async () => ({ url: environment().gateway.url, stop: async () => {} }))

  it.each(['x-request-id', 'X_Request_Id', 'te'])('removes %s', async name => {
    const { status } = await send(environment().gateway.url, {
      token: environment().acme.token,
      headers: [[name, MARK]],
    })
    expect(status).toBe(200)
    expectOnlyOurs()
  })

  it('takes headers of at most 65,536 bytes', async () => {
    const headers = Array.from({ length: 70 }, (_, i): [string, string] => [`x-${i}`, 'a'.repeat(1_000)])
    expect((await send(environment().gateway.url, { token: environment().acme.token, headers })).status).toBe(
      431,
    )
  })

  it('takes at most 64 connections of one source, and does not count those of another', async () => {
    const haproxy = await startHaproxy(environment().behind)
    const port = Number(new URL(haproxy.url).port)
    const open: Socket[] = []
    const closed = new Set<Socket>()
    const hold = (localAddress: string) => {
      const socket = connect({ host: '127.0.0.1', port, localAddress })
      socket.on('error', () => {}).once('close', () => closed.add(socket))
      socket.write('POST /v1/chat/completions HTTP/1.1\r\nHo')
      open.push(socket)
    }
    try {
      for (let i = 0; i < 70; i++) hold('127.0.0.2')
      await until(
        'some are closed',
        () => closed.size,
        size => size >= 6,
      )
      const { status } = await send(haproxy.url, { token: environment().acme.token })
      expect(status).toBe(200)
    } finally {
      for (const socket of open) socket.destroy()
      await haproxy.stop()
    }
  })
}
