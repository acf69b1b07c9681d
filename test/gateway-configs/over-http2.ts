import { connect, type OutgoingHttpHeaders } from 'node:http2'
import { expect, it } from 'vitest'
import type { Contract } from './check-contract.ts'
import { chat } from './client.ts'
import { MARK, NAMES, underscored, VALUE } from './forged-headers.ts'

const TRAILERS = { 'x-data-parallel-rank': '3', 'x-session-id': MARK, 'x-vllm-priority': VALUE, user: MARK }

/**
 * What a gateway does with HTTP/2, without TLS. `start` returns the address of a listener for it. Trailers are dropped, or
 * the connection is closed.
 */
export function checkHttp2(
  { environment, expectOnlyOurs }: Contract,
  start: () => Promise<{ url: string; stop(): Promise<void> }>,
  trailersAre: 'dropped' | 'refused' = 'dropped',
): void {
  const body = chat('llama-3-8b')
  const length = { 'content-length': String(Buffer.byteLength(body)) }
  const forged = Object.fromEntries(
    NAMES.flatMap(name => [name, underscored(name)]).map(name => [name, VALUE]),
  )

  it('serves HTTP/2, with a length and without, and hands on nothing forged and no trailers', async () => {
    const gateway = await start()
    try {
      for (const headers of [length, {}, { ...length, ...forged }, { ...forged, te: 'trailers' }])
        for (const trailers of [undefined, TRAILERS]) {
          environment().upstream.forget()
          const authorization = `Bearer ${environment().acme.token}`
          const asked = ask(gateway.url, { authorization, ...headers }, body, trailers)
          if (trailers && trailersAre === 'refused') {
            await expect(asked).rejects.toThrow()
            // It may have been handed on before the trailers came.
            for (const request of environment().upstream.requests) expect(request.trailers).toEqual([])
            continue
          }
          expect(await asked).toBe(200)
          expectOnlyOurs()
          expect(environment().upstream.theRequest()).toMatchObject({ body, trailers: [] })
        }
    } finally {
      await gateway.stop()
    }
  })
}

function ask(
  url: string,
  headers: OutgoingHttpHeaders,
  body: string,
  trailers: OutgoingHttpHeaders | undefined,
): Promise<number> {
  const session = connect(url)
  const stream = session.request(
    { ':method': 'POST', ':path': '/v1/chat/completions', 'content-type': 'application/json', ...headers },
    { waitForTrailers: trailers !== undefined },
  )
  if (trailers) stream.once('wantTrailers', () => stream.sendTrailers(trailers))
  stream.end(body)
  stream.resume()
  return new Promise((resolve, reject) => {
    session.once('error', reject)
    stream.once('error', reject)
    let status = 0
    stream.once('response', answer => {
      status = Number(answer[':status'])
    })
    stream.once('end', () => {
      session.close()
      resolve(status)
    })
  })
}
