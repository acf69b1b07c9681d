import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { callerAddress } from '../../src/http/caller-address.ts'

describe.each([
  ['no trusted proxy', false],
  ['the machine itself trusted', ['127.0.0.0/8']],
  ['the machine and two networks trusted', ['127.0.0.0/8', '10.0.0.0/8', 'fd00::/8']],
])('the address of a caller, with %s', (_, trusted) => {
  const app = express().set('trust proxy', trusted)
  app.get('/', (req, res) => void res.json([req.ip, callerAddress(req, app.get('trust proxy fn'))]))
  const server = createServer(app)
  beforeAll(() => new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve)))
  afterAll(() => new Promise(resolve => server.close(resolve)))

  const entry = fc.constantFrom(
    '10.1.2.3',
    '127.0.0.1',
    '203.0.113.9',
    'fd00::1',
    '2001:db8::7',
    '',
    ' ',
    'x',
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
