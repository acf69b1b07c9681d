import { request } from 'node:https'

// biome-ignore lint/suspicious/noExplicitAny: each kind of object has its own shape
export type KubernetesObject = any

export interface Reply {
  status: number
  body: KubernetesObject
}

/** Requests to the API server of the suite, as its administrator. */
export class ApiServer {
  readonly url: string
  readonly #token: string

  constructor(url: string, token: string) {
    this.url = url
    this.#token = token
  }

  /** @throws {Error} with the API server's message for a status above 299 that `allowed` does not name. */
  async call(
    method: string,
    path: string,
    body?: object,
    allowed: readonly number[] = [],
  ): Promise<KubernetesObject> {
    const reply = await this.#request(method, path, body)
    if (reply.status > 299 && !allowed.includes(reply.status))
      throw new Error(`${method} ${path}: ${reply.status} ${reply.body?.message ?? ''}`)
    return reply.body
  }

  /** The items of a list. */
  async list(path: string): Promise<KubernetesObject[]> {
    return (await this.call('GET', path)).items
  }

  #request(method: string, path: string, body?: object): Promise<Reply> {
    const type = method === 'PATCH' ? 'application/strategic-merge-patch+json' : 'application/json'
    return new Promise((resolve, reject) => {
      const sent = request(
        `${this.url}${path}`,
        {
          method,
          // The certificate was made by this API server a moment ago, in a network namespace of our own.
          rejectUnauthorized: false,
          headers: { authorization: `Bearer ${this.#token}`, ...(body && { 'content-type': type }) },
        },
        answer => {
          const chunks: Buffer[] = []
          answer.on('data', chunk => chunks.push(chunk))
          answer.on('error', reject)
          answer.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            resolve({ status: answer.statusCode ?? 0, body: text.startsWith('{') ? JSON.parse(text) : text })
          })
        },
      )
      sent.on('error', reject)
      sent.end(body && JSON.stringify(body))
    })
  }
}
