import { once } from 'node:events'
import { connect, type OutgoingHttpHeaders } from 'node:http2'
import { expect, it } from 'vitest'
import { startRecordingUpstream } from '../support/recording-upstream.ts'
import type { Contract } from './check-contract.ts'
import type { Behind } from './check-environment.ts'
import { chat } from './client.ts'
import { MARK, NAMES, underscored, VALUE } from './forged-headers.ts'

const TRAILERS = { 'x-data-parallel-rank': '3', 'x-session-id': MARK, 'x-vllm-priority': VALUE, user: MARK }

/**
 * What a gateway does with HTTP/2, without TLS. `start` returns the address of a listener for it; `listsAre`: what a client gets
 * that sends a body with the question for the list of models. Trailers are dropped, or the connection is closed.
 */
export function checkHttp2(
  { environment, expectOnlyOurs }: Contract,
  start: (behind: Behind) => Promise<{ url: string; stop(): Promise<void> }>,
  listsAre: 'answered' | 'refused',
  trailersAre: 'dropped' | 'refused' = 'dropped',
): void {
  const body = chat('llama-3-8b')
  const length = { 'content-length': String(Buffer.byteLength(body)) }
  const forged = Object.fromEntries(
    NAMES.flatMap(name => [name, underscored(name)]).map(name => [name, VALUE]),
  )

  it('serves HTTP/2, with a length and without, and hands on nothing forged and no trailers', async () => {
    const gateway = await start(environment().behind)
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

  it.each<[string, () => OutgoingHttpHeaders, number]>([
    ['without a credential', () => ({}), 401],
    [
      'with a key',
      () => ({ authorization: `Bearer ${environment().acme.secret}` }),
      listsAre === 'refused' ? 413 : 200,
    ],
    [
      'with a key in another header',
      () => ({ 'x-api-key': environment().acme.secret }),
      listsAre === 'refused' ? 413 : 200,
    ],
  ])('passes on no body with GET /v1/models over HTTP/2: %s', async (_, headers, status) => {
    const mintmark = await startRecordingUpstream()
    const { behind } = environment()
    const gateway = await start({ ...behind, ports: { ...behind.ports, gateway: mintmark.port } })
    const session = connect(gateway.url)
    try {
      // No length, and no end.
      const stream = session.request({ ':path': '/v1/models', ...headers() }, { endStream: false })
      stream.on('error', () => {}).write('hello')
      const [answer] = await once(stream, 'response')
      expect(answer[':status']).toBe(status)
      expect(mintmark.requests.map(({ body }) => body)).toEqual(status === 200 ? [''] : [])
    } finally {
      session.destroy()
      await gateway.stop()
      await mintmark.stop()
    }
  })

  it('answers GET /v1/models without a body over HTTP/2', async () => {
    const gateway = await start(environment().behind)
    const session = connect(gateway.url)
    try {
      const authorization = `Bearer ${environment().acme.secret}`
      const [answer] = await once(session.request({ ':path': '/v1/models', authorization }), 'response')
      expect(answer[':status']).toBe(200)
    } finally {
      session.destroy()
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
