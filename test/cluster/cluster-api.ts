import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'

// biome-ignore lint/suspicious/noExplicitAny: each kind of object has its own shape
export type KubernetesObject = any

const MERGE = 'application/merge-patch+json'

/** The API of the cluster, as its administrator. */
export class ClusterApi {
  readonly #options: { host: string; port: number; ca: string; headers: Record<string, string>; agent: Agent }
  #closed = false

  constructor(host: string, port: number, caFile: string, token: string) {
    const agent = new Agent({ keepAlive: true })
    const headers = { authorization: `Bearer ${token}` }
    this.#options = { host, port, ca: readFileSync(caFile, 'utf8'), headers, agent }
  }

  get = (path: string) => this.call('GET', path)
  post = (path: string, body: object) => this.call('POST', path, body)
  patch = (path: string, body: object) => this.call('PATCH', path, body)
  remove = (path: string, body: object = {}) => this.call('DELETE', path, body)

  /** @throws {Error} with the API's own message, and its status as `code` */
  async call(method: string, path: string, body?: object): Promise<KubernetesObject> {
    const answer = await this.#send(method, path, body)
    const chunks: Buffer[] = []
    for await (const chunk of answer) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString()
    const { statusCode = 0 } = answer
    if (statusCode < 300) return text.startsWith('{') ? JSON.parse(text) : text
    throw Object.assign(new Error(`${method} ${path}: ${statusCode} ${text.slice(0, 500)}`), {
      code: statusCode,
    })
  }

  /** Calls `changed` with each object that exists, was changed or deleted, until `close`. */
  async watch(path: string, changed: (type: string, object: KubernetesObject) => void): Promise<void> {
    const known = new Map<string, KubernetesObject>()
    while (!this.#closed) {
      try {
        await this.#watchOnce(path, known, changed)
      } catch (error) {
        if (!this.#closed) console.log(`  note    watch of ${path}: ${(error as Error).message}`)
      }
      await sleep(100)
    }
  }

  async #watchOnce(
    path: string,
    known: Map<string, KubernetesObject>,
    changed: (type: string, object: KubernetesObject) => void,
  ): Promise<void> {
    const { items, metadata } = await this.get(path)
    const listed = new Set(items.map((item: KubernetesObject) => item.metadata.uid))
    for (const [uid, object] of known) {
      if (listed.has(uid)) continue
      known.delete(uid)
      changed('DELETED', object)
    }
    for (const item of items) {
      known.set(item.metadata.uid, item)
      changed('MODIFIED', item)
    }
    const answer = await this.#send('GET', `${path}?watch=true&resourceVersion=${metadata.resourceVersion}`)
    let text = ''
    for await (const chunk of answer.setEncoding('utf8')) {
      text += chunk
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) {
        const { type, object } = JSON.parse(line)
        if (type === 'ERROR' || type === 'BOOKMARK') continue
        if (type === 'DELETED') known.delete(object.metadata.uid)
        else known.set(object.metadata.uid, object)
        changed(type, object)
      }
    }
  }

  close(): void {
    this.#closed = true
    this.#options.agent.destroy()
  }

  #send(method: string, path: string, body?: object): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const type = method === 'PATCH' ? MERGE : 'application/json'
    // Node sends the body of a DELETE without its length.
    const ofBody = text !== undefined && { 'content-type': type, 'content-length': Buffer.byteLength(text) }
    const headers = { ...this.#options.headers, ...ofBody }
    return new Promise((resolve, reject) => {
      request({ ...this.#options, method, path, headers }, resolve)
        .once('error', reject)
        .end(text)
    })
  }
}
