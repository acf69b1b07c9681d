import { request as httpRequest } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'

/** One request as `fetch` makes it, with options of Node's that `fetch` lacks. As much of `fetch` as http-call.ts uses. */
export function fetchWith(url: URL, options: RequestOptions, init: RequestInit): Promise<Response> {
  const request = url.protocol === 'https:' ? httpsRequest : httpRequest
  const { promise, resolve, reject } = Promise.withResolvers<Response>()
  const headers = { ...Object.fromEntries(new Headers(init.headers)), host: url.host }
  const { method = 'GET', signal, body } = init
  const call = request({ ...options, method, headers, ...(signal && { signal }) }, response => {
    const chunks: Buffer[] = []
    response.on('data', chunk => void chunks.push(chunk))
    response.once('error', reject)
    response.once('end', () => {
      const received = new Headers()
      for (const [name, value] of Object.entries(response.headers))
        for (const one of [value ?? []].flat()) received.append(name, one)
      const { statusCode: status = 0 } = response
      const content = status === 204 || status === 304 ? null : Buffer.concat(chunks)
      resolve(new Response(content, { status, headers: received }))
    })
  })
  // As fetch reports it: the signal's reason, or the system's error as the cause.
  call.once('error', error => reject(signal?.aborted ? signal.reason : error))
  call.end(typeof body === 'string' ? body : undefined)
  return promise
}
