import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { callerAddress, trusting } from '../../src/http/caller-address.ts'

describe.each([
  ['no trusted proxy', []],
  ['the machine itself trusted', ['127.0.0.0/8']],
  ['the machine and two networks trusted', ['127.0.0.0/8', '10.0.0.0/8', 'fd00::/8']],
  ['networks written as mapped into IPv6 trusted', ['::ffff:127.0.0.0/104', '::ffff:a00:0/104']],
])('the address of a caller, with %s', (_, trusted) => {
  const app = express().set('trust proxy', trusted)
  app.get('/', (req, res) => void res.json([req.ip, callerAddress(req, trusting(trusted))]))
  const server = createServer(app)
  beforeAll(() => new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve)))
  afterAll(() => new Promise(resolve => server.close(resolve)))

  const entry = fc.constantFrom(
    '10.1.2.3',
    '127.0.0.1',
    '203.0.113.9',
    'fd00::1',
    '2001:db8::7',
    '::ffff:10.1.2.3',
    '::ffff:cb00:7109',
    '',
    ' ',
  )
  const header = fc.array(entry, { maxLength: 5 }).map(entries => entries.join(', '))

  it('is the one that Express finds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.option(header), async forwarded => {
        const [expected, found] = await ask(server.address() as AddressInfo, forwarded)
        expect(found).toBe(expected)
      }),
      { numRuns: 60 },
    )
  })

  it.runIf(trusted.length > 0)('has no port, which differs for each connection', async () => {
    for (const [written, address] of [
      ['203.0.113.9:40001', '203.0.113.9'],
      ['[2001:db8::7]:40001', '2001:db8::7'],
      ['[2001:db8::7]', '2001:db8::7'],
    ] as const)
      expect((await ask(server.address() as AddressInfo, `198.51.100.1, ${written}`))[1]).toBe(address)
  })

  it.runIf(trusted.length > 0)('is that of the proxy when it names none', async () => {
    for (const written of ['unknown', '_hidden', '1.2.3.4:5:6', '[x]:1', '256.1.1.1', 'a'.repeat(3_000)])
      expect((await ask(server.address() as AddressInfo, `198.51.100.1, ${written}`))[1]).toBe('127.0.0.1')
  })
})

it('asks about the connection as 0 hops away, and about the proxies before it as 1, 2, …', () => {
  const asked: [string, number][] = []
  const req = { socket: { remoteAddress: '127.0.0.1' }, headers: { 'x-forwarded-for': '10.0.0.2, 10.0.0.1' } }
  callerAddress(req as unknown as IncomingMessage, (address, hops) => asked.push([address, hops]) > 0)
  expect(asked).toEqual([
    ['127.0.0.1', 0],
    ['10.0.0.1', 1],
    ['10.0.0.2', 2],
  ])
})

function ask({ port }: AddressInfo, forwarded: string | null): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const headers = forwarded === null ? {} : { 'x-forwarded-for': forwarded }
    const sent = request({ port, headers, agent: false }, res => {
      let text = ''
      res.on('data', chunk => {
        text += chunk
      })
      res.on('end', () => resolve(JSON.parse(text)))
    })
    sent.on('error', reject).end()
  })
}
